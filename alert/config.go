package alert

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config is the alert section of the configuration.
type Config struct {
	Webhook     string        `yaml:"webhook" placeholder:"URL" help:"Where alerts are posted as Slack takes them (Mattermost, Discord's /slack and others do too). It is a secret: prefer the variable REFEREE_ALERT_WEBHOOK."`
	SNSTopic    string        `yaml:"sns-topic" name:"sns-topic" placeholder:"ARN" help:"SNS topic that alerts are published to, with their kind as an attribute to filter by; needs sns:Publish (referee waf export-iam)."`
	SNSEndpoint string        `yaml:"sns-endpoint" name:"sns-endpoint" placeholder:"URL" help:"Base URL of another SNS endpoint, because emulators and VPC endpoints have addresses of their own."`
	Interval    time.Duration `yaml:"interval" default:"4h" help:"How long the same alert is not told again while what it is about goes on."`
	Rate        int           `yaml:"rate" default:"30" help:"Messages in an hour, at most: what is beyond is counted, told with the next one, and on the log of what raised it."`
}

// Validate refuses what could never be delivered to. It shows no webhook: that is a secret.
func (c Config) Validate() error {
	var errs []error
	if !isURL(c.Webhook) {
		errs = append(errs, errors.New("alert.webhook: it is not a URL such as https://hooks.slack.com/services/…"))
	}
	if !isURL(c.SNSEndpoint) {
		errs = append(errs, fmt.Errorf("alert.sns-endpoint: %q is not a URL such as https://host:port", c.SNSEndpoint))
	}
	if _, err := topicRegion(c.SNSTopic); c.SNSTopic != "" && err != nil {
		errs = append(errs, err)
	}
	if c.Interval < time.Minute {
		errs = append(errs, fmt.Errorf("alert.interval: %v is less than a minute, and would be noise; the default is 4h", c.Interval))
	}
	if c.Rate < 1 || c.Rate > 1000 {
		errs = append(errs, fmt.Errorf("alert.rate: %d is not between 1 and 1000 messages an hour; the default is 30", c.Rate))
	}
	return errors.Join(errs...)
}

// isURL takes "" for a URL too.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return s == "" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// topicRegion reads arn:aws:sns:REGION:ACCOUNT:NAME.
func topicRegion(arn string) (string, error) {
	part := strings.Split(arn, ":")
	if len(part) != 6 || part[0] != "arn" || part[2] != "sns" || part[3] == "" || part[5] == "" {
		return "", fmt.Errorf("alert.sns-topic: %q is not the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME", arn)
	}
	return part[3], nil
}
