package sidecar

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// told is a webhook, and what it was told.
type told struct {
	*httptest.Server
	mu    sync.Mutex
	texts []string
}

func newTold(t *testing.T) *told {
	t.Helper()
	w := &told{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.texts = append(w.texts, message.Text)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *told) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.texts, "\n---\n")
}

func (w *told) waitFor(t *testing.T, what ...string) {
	t.Helper()
	for _, text := range what {
		waitFor(t, "the webhook is told "+text+" in:\n"+w.all(), func() bool { return strings.Contains(w.all(), text) })
	}
}

func TestTheOwnerIsToldOfAnAttackOnce(t *testing.T) {
	webhook := newTold(t)
	cfg := testConfig(t.TempDir())
	cfg.Alert.Webhook = webhook.URL
	s, _ := start(t, cfg)
	for round := range 3 {
		for i := range 3 {
			request, err := http.NewRequest(http.MethodGet, "http://"+s.Addresses()["api"]+"/v1/check", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Referer", generated)
			request.Header.Set("X-Forwarded-For", fmt.Sprintf("81.%d.%d.7", round, i))
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
	}
	webhook.waitFor(t, "attack: 1 name and 0 clients are new hits", "name:hvijsn1y3mlu012cnec114yq312.com", "shadow mode: nothing is blocked", "(shadow)")
	waitFor(t, "the ledger keeps the first line", func() bool {
		kept, err := s.ledger.Alerts(t.Context(), time.Time{}, 0)
		return err == nil && len(kept) == 1 && kept[0].Kind == "attack" &&
			strings.HasPrefix(kept[0].Text, "attack: 1 name and 0 clients are new hits") && !strings.Contains(kept[0].Text, "hvijsn")
	})
	if n := strings.Count(webhook.all(), "attack:"); n != 1 {
		t.Errorf("told %d times:\n%s", n, webhook.all())
	}
}

func TestTheOwnerIsToldOfAnOwnHostThatTheModelWouldFlag(t *testing.T) {
	webhook := newTold(t)
	cfg := testConfig(t.TempDir())
	cfg.WAF.Webhook = webhook.URL // the older key
	cfg.Policy.NeverBlock.Hosts = []string{"hvijsn1y3mlu012cnec114yq312.com", "shop.example.com"}
	s, _ := start(t, cfg)
	if got := verdict(t, s, generated); got != "exempt" {
		t.Fatalf("the verdict is %q", got)
	}
	webhook.waitFor(t, "never-block saved one of your own hosts", "\nhvijsn1y3mlu012cnec114yq312.com\n")
}

func TestTheOwnerIsToldOfALedgerThatCannotBeWrittenAndOfARefusedReload(t *testing.T) {
	webhook := newTold(t)
	file := filepath.Join(t.TempDir(), "not-a-directory")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(file)
	cfg.Alert.Webhook = webhook.URL
	s, _ := start(t, cfg)
	webhook.waitFor(t, "ledger: judging in memory")
	bad := cfg
	bad.Model.File = filepath.Join(t.TempDir(), "missing.model")
	err := s.Reload(bad)
	if err == nil {
		t.Fatal("a missing model was taken")
	}
	s.ReloadRefused(err)
	webhook.waitFor(t, "reload refused, the old configuration and model stay", "missing.model")
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	webhook.waitFor(t, "over after")
}

func TestTheOwnerIsToldOfASetThatIsLeftAlone(t *testing.T) {
	for _, variable := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(variable, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	webhook := newTold(t)
	cfg := testConfig(t.TempDir())
	cfg.Alert.Webhook = webhook.URL
	cfg.WAF.Region, cfg.WAF.IPv4Set = "eu-central-1", "clients/00000000-0000-0000-0000-000000000000"
	start(t, cfg)
	webhook.waitFor(t, "ipv4 set", "AWS_ACCESS_KEY_ID")
}
