package waf

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// notices tells the owner what needs him: on the log, and at a webhook where there is one. The same is told once, until
// it is over.
type notices struct {
	url    string
	log    *slog.Logger
	client http.Client
	told   map[string]string
}

func newNotices(url string, log *slog.Logger) *notices {
	return &notices{url: url, log: log, client: http.Client{Timeout: 5 * time.Second}, told: map[string]string{}}
}

// raise tells text under a key, unless it was told already. A webhook that fails is tried again at the next raise.
func (n *notices) raise(ctx context.Context, key, text string) {
	if n.told[key] == text {
		return
	}
	n.log.Warn("waf needs its owner", "about", key, "notice", text)
	if err := n.post(ctx, text); err != nil {
		n.log.Warn("waf.webhook failed, to be tried again", "error", err)
		return
	}
	n.told[key] = text
}

// clear says that it is over.
func (n *notices) clear(key string) { delete(n.told, key) }

// post sends a text as Slack, and what is compatible with it, takes it (docs.slack.dev/messaging/sending-messages-using-
// incoming-webhooks). The URL is a secret and stands in no error.
func (n *notices) post(ctx context.Context, text string) error {
	if n.url == "" {
		return nil
	}
	body, err := json.Marshal(map[string]string{"text": "Referee: " + slackText.Replace(text)})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("waf.webhook: not a URL that can be posted to")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := n.client.Do(req)
	if err != nil {
		return fmt.Errorf("waf.webhook: no answer within %v", n.client.Timeout)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // so that the connection is used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("waf.webhook: it answered %s", resp.Status)
	}
	return nil
}

// slackText escapes what Slack would take for its own marks: names come from clients.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// linesShown bounds a diff in a notice: 40 lines are what a person reads on a phone.
const linesShown = 40

// requestText is an approval request in words.
func requestText(o Order) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d entries wait for your approval. To let them in: referee waf approve %d\n", len(o.Entries), o.ID)
	for i, e := range o.Entries {
		if i == linesShown {
			fmt.Fprintf(&b, "… and %d more: referee waf plan\n", len(o.Entries)-i)
			break
		}
		fmt.Fprintf(&b, "+ %s %s until %s\n", e.Kind, e.Value, e.Expires.UTC().Format(time.DateTime))
	}
	return b.String()
}
