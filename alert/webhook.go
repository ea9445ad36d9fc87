package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// webhook posts messages as Slack, and what is compatible with it, takes them (docs.slack.dev/messaging/
// sending-messages-using-incoming-webhooks). Its URL is a secret and stands in no error.
type webhook struct {
	url    string
	client http.Client
}

func newWebhook(to string) *webhook {
	return &webhook{url: to, client: http.Client{
		// A redirect would take the message, and the secret in the path's stead a Referer, to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// slackText escapes what Slack would take for its own marks: names in a text come from clients.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (w *webhook) send(ctx context.Context, m Message) error {
	body, err := json.Marshal(map[string]string{"text": slackText.Replace(fmt.Sprintf("Referee on %s: %s", m.Source, m.Text))})
	if err != nil {
		return final{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return final{errors.New("alert.webhook: not a URL that can be posted to")}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		if of, ok := errors.AsType[*url.Error](err); ok {
			err = of.Err // without the URL
		}
		return fmt.Errorf("alert.webhook: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // so that the connection is used again
	refused := fmt.Errorf("alert.webhook: it answered %d", resp.StatusCode)
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return slower{refused, time.Duration(min(max(0, seconds), 3600)) * time.Second}
	case resp.StatusCode/100 == 5, resp.StatusCode == http.StatusRequestTimeout:
		return refused
	}
	return final{fmt.Errorf("%w: is the URL right, and still in use?", refused)}
}
