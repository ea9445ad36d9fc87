package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// topic publishes messages to an SNS topic, with the credentials that the AWS environment gives.
type topic struct {
	arn, endpoint string

	mu     sync.Mutex
	client *sns.Client // made at the first message: nothing here may hold up a start
}

func (t *topic) connect(ctx context.Context) (*sns.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil {
		return t.client, nil
	}
	region, err := topicRegion(t.arn)
	if err != nil {
		return nil, final{err}
	}
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(region),
		config.WithLogger(logging.Nop{}), // what it would warn of comes back as an error of a call
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(sendTimeout)),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} })) // deliver repeats, webhook and topic alike
	if err != nil {
		return nil, fmt.Errorf("alert.sns-topic: AWS configuration: %w", err)
	}
	t.client = sns.NewFromConfig(loaded, func(o *sns.Options) {
		if t.endpoint != "" {
			o.BaseEndpoint = aws.String(t.endpoint)
		}
	})
	return t.client, nil
}

func (t *topic) send(ctx context.Context, m Message) error {
	client, err := t.connect(ctx)
	if err != nil {
		return err
	}
	in := &sns.PublishInput{
		TopicArn: &t.arn,
		Subject:  aws.String(subject(m)),
		Message:  &m.Text,
		MessageAttributes: map[string]types.MessageAttributeValue{
			"kind":   {DataType: aws.String("String"), StringValue: aws.String(string(m.Kind))},
			"source": {DataType: aws.String("String"), StringValue: aws.String(m.Source)},
		},
	}
	if strings.HasSuffix(t.arn, ".fifo") {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %s", m.Source, m.Kind, m.Time.UnixNano(), m.Text))
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("referee"), aws.String(hex.EncodeToString(sum[:]))
	}
	if _, err = client.Publish(ctx, in); err == nil {
		return nil
	}
	err = fmt.Errorf("alert.sns-topic: %w", err)
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorFault() == smithy.FaultClient || ok && denied(api.ErrorCode()) {
		if _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; !throttled {
			return final{err}
		}
	}
	return err
}

// denied knows what no repetition mends and the SDK has no fault for.
func denied(code string) bool {
	switch code {
	case "AuthorizationError", "AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "SignatureDoesNotMatch", "NotFound", "InvalidParameter":
		return true
	}
	return false
}

// subject is what a mail from SNS is titled: ASCII without line breaks, 100 characters at most, beginning with a letter
// (docs.aws.amazon.com/sns/latest/api/API_Publish.html).
func subject(m Message) string {
	first, _, _ := strings.Cut(m.Text, "\n")
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, fmt.Sprintf("Referee %s on %s: %s", m.Kind, m.Source, first))
	return s[:min(len(s), 100)]
}
