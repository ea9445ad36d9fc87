package alert

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func awsEnvironment(t *testing.T) {
	t.Helper()
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(key, value)
	}
}

// snsEndpoint speaks the query protocol: it keeps each call's form, and answers with the errors it is told, one after the
// other, then with success.
func snsEndpoint(t *testing.T, errors ...string) (endpoint string, calls *[]url.Values) {
	t.Helper()
	calls = new([]url.Values)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		*calls = append(*calls, r.PostForm)
		w.Header().Set("Content-Type", "text/xml")
		if len(errors) > 0 {
			code := errors[0]
			errors = errors[1:]
			status, fault := http.StatusForbidden, "Sender"
			if code == "InternalError" {
				status, fault = http.StatusInternalServerError, "Receiver"
			}
			w.WriteHeader(status)
			fmt.Fprintf(w, `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>%s</Type><Code>%s</Code>`+
				`<Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>`, fault, code)
			return
		}
		fmt.Fprint(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult>`+
			`<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishResponse>`)
	}))
	t.Cleanup(server.Close)
	return server.URL, calls
}

const oncall = "arn:aws:sns:eu-west-1:123456789012:oncall"

func TestATopicGetsTheTextWithASubjectAndItsKind(t *testing.T) {
	awsEnvironment(t)
	endpoint, calls := snsEndpoint(t)
	d := newDesk(t, Config{SNSTopic: oncall, SNSEndpoint: endpoint})
	d.Raise(Alert{Breaker, "names", "names set: it’s denied\nallow wafv2:UpdateRegexPatternSet"})
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	form := (*calls)[0]
	for key, want := range map[string]string{
		"Action": "Publish", "TopicArn": oncall, "Subject": "Referee breaker on edge-1: names set: it?s denied",
		"Message":                        "names set: it’s denied\nallow wafv2:UpdateRegexPatternSet",
		"MessageAttributes.entry.1.Name": "kind",
		"MessageAttributes.entry.1.Value.StringValue": "breaker",
		"MessageGroupId": "",
	} {
		got := form.Get(key)
		if strings.HasPrefix(key, "MessageAttributes") { // in no order
			got = want
			if !strings.Contains(form.Encode(), url.QueryEscape(want)) {
				got = ""
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestAFIFOTopicGetsAGroupAndAnIdOfEachMessage(t *testing.T) {
	awsEnvironment(t)
	endpoint, calls := snsEndpoint(t)
	d := newDesk(t, Config{SNSTopic: oncall + ".fifo", SNSEndpoint: endpoint})
	d.Raise(Alert{Held, "a", "held"})
	d.Raise(Alert{Held, "b", "held, too"})
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	first, second := (*calls)[0], (*calls)[1]
	if first.Get("MessageGroupId") != "referee" || first.Get("MessageDeduplicationId") == second.Get("MessageDeduplicationId") {
		t.Errorf("%v\n%v", first, second)
	}
}

func TestATopicIsTriedAgainWhereThatMayHelp(t *testing.T) {
	awsEnvironment(t)
	f := func(want int, sent bool, errors ...string) {
		t.Helper()
		endpoint, calls := snsEndpoint(t, errors...)
		d := newDesk(t, Config{SNSTopic: oncall, SNSEndpoint: endpoint})
		d.to[0].wait = noWait
		d.Raise(Alert{Held, "", "held"})
		d.to[0].deliver(t.Context(), <-d.to[0].queue)
		got := testutil.ToFloat64(d.to[0].counts.WithLabelValues("sns", "sent")) == 1
		if len(*calls) != want || got != sent {
			t.Errorf("%v: %d calls, sent %v; want %d, %v\n%s", errors, len(*calls), got, want, sent, d.log.String())
		}
	}
	f(3, true, "InternalError", "Throttling")
	f(1, false, "AuthorizationError")
	f(1, false, "NotFound")
}

// TestAlertsArriveAtMoto has another implementation of SNS take what is sent, and give it back.
func TestAlertsArriveAtMoto(t *testing.T) {
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not installed")
	}
	awsEnvironment(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr)
	ln.Close()
	log, err := os.Create(filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := exec.CommandContext(t.Context(), program, "-H", "127.0.0.1", "-p", fmt.Sprint(addr.Port))
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Skip("moto_server does not start:", err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	endpoint := "http://" + addr.String()
	up := false
	for deadline := time.Now().Add(30 * time.Second); !up && time.Now().Before(deadline); {
		if conn, err := net.DialTimeout("tcp", addr.String(), time.Second); err == nil {
			conn.Close()
			up = true
			break
		}
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // another process starts: there is nothing to wait on
	}
	if !up {
		t.Skip("moto_server did not listen within 30 s")
	}
	setup := &topic{arn: oncall, endpoint: endpoint}
	client, err := setup.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("oncall")})
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan string, 1)
	subscriber := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var notification struct{ Type, Subject, Message string }
		if err := json.NewDecoder(r.Body).Decode(&notification); err == nil && notification.Type == "Notification" {
			arrived <- notification.Subject + " | " + notification.Message
		}
	}))
	defer subscriber.Close()
	if _, err := client.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: made.TopicArn, Protocol: aws.String("http"), Endpoint: aws.String(subscriber.URL),
	}); err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, Config{SNSTopic: aws.ToString(made.TopicArn), SNSEndpoint: endpoint})
	d.Raise(Alert{Attack, "", "12 names <b>\nand 3 clients"})
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-arrived:
		if want := "Referee attack on edge-1: 12 names <b> | 12 names <b>\nand 3 clients"; got != want {
			t.Errorf("the subscriber got %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("the subscriber got nothing")
	}
	missing := newDesk(t, Config{SNSTopic: oncall + "-missing", SNSEndpoint: endpoint})
	missing.Raise(Alert{Attack, "", "nobody is there"})
	if err := missing.flush(); err == nil || !strings.Contains(err.Error(), "NotFound") {
		t.Errorf("a topic that is not there: %v", err)
	}
}
