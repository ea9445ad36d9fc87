package report

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is one headless Chromium for all tests of the page.
type browser struct {
	*testing.T
	ctx    context.Context
	server *httptest.Server
	page   []byte

	mu       sync.Mutex
	trouble  []string // what the console said, and what threw
	requests []string // what was asked for, the page itself left out
}

// newBrowser starts Chromium. It is skipped by name where there is none, but not in CI, where .ci/run installs it.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no chromium; .ci/run installs it")
		}
		t.Skip("there is no chromium")
	}
	b := &browser{T: t}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/report" {
			b.note(&b.requests, r.URL.Path)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", ContentSecurityPolicy())
		_, _ = w.Write(b.page)
	}))
	t.Cleanup(b.server.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-features", "OptimizationHints,MediaRouter,Translate"), chromedp.WSURLReadTimeout(time.Minute))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to be root's with one
	}
	alone, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(alone)
	t.Cleanup(end)
	b.ctx = ctx
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			b.note(&b.trouble, fmt.Sprint("console: ", e.Type))
		case *runtime.EventExceptionThrown:
			b.note(&b.trouble, fmt.Sprintf("exception: %+v", e.ExceptionDetails))
		case *log.EventEntryAdded:
			b.note(&b.trouble, "log: "+e.Entry.Text)
		case *network.EventRequestWillBeSent:
			if e.Request.URL != b.server.URL+"/report" {
				b.note(&b.requests, e.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	return b
}

// call sends a command of the protocol.
func call[P, R any](b *browser, c cdp.Command[P, R], params P) {
	b.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, c, params)
		return chromedp.Void{}, err
	})
}

func (b *browser) note(list *[]string, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, what)
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// open shows a report in a window, and fails on whatever went wrong.
func (b *browser) open(r *Report, in window) {
	b.Helper()
	width, scheme := int64(1280), "light"
	if in == phone || in == phoneDark {
		width = 390
	}
	if in == deskDark || in == phoneDark {
		scheme = "dark"
	}
	_, _, b.page = rendered(b.T, r)
	b.trouble, b.requests = nil, nil
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	b.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate(b.server.URL+"/report"), chromedp.WaitReady(chromedp.CSS("footer")))
	b.settled()
}

// settled fails on whatever the page complained about or asked for.
func (b *browser) settled() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.trouble {
		b.Errorf("the page: %s", t)
	}
	for _, r := range b.requests {
		if !strings.HasSuffix(r, "/favicon.ico") { // the browser's own wish
			b.Errorf("the page asks for %s", r)
		}
	}
}

// ask evaluates an expression in the page.
func ask[T any](b *browser, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return answer
}

// is fails unless an expression in the page gives this.
func is[T comparable](b *browser, expression string, want T) {
	b.Helper()
	if got := ask[T](b, expression); got != want {
		b.Errorf("%s is %v, want %v", expression, got, want)
	}
}

// screenshot keeps a picture of the whole page where SCREENSHOTS says, for people to look at.
func (b *browser) screenshot(name string) {
	b.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.Fatal(err)
	}
}

// crowded is a report with many hits.
func crowded(hits int) *Report {
	r := sample()
	first := r.Names.List[0]
	r.Names.List = nil
	for i := range hits {
		h := first
		h.Name, h.Rank, h.Sightings = fmt.Sprintf("q%dxkz.com", i*7919%100_003), float64(hits-i), uint64(1+i*37%9973)
		h.Score, h.Networks, h.First = float32(5+float64(i%700)/100), 2+i%80, ago(time.Duration(i%160)*time.Hour)
		r.Names.List = append(r.Names.List, h)
	}
	r.Names.Active, r.Names.Past = hits, 0
	return r
}

const (
	rows  = `[...document.querySelector('#names table').tBodies[0].rows].filter(r => !r.hidden)`
	first = rows + `[0].querySelector('code').textContent`

	tooWide = `document.documentElement.scrollWidth <= innerWidth ? '' : [...document.querySelectorAll('body *')]
		.filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40)).slice(-3).join('; ')`
)

// window is one in which the page is looked at.
type window string

const (
	desk, deskDark   window = "desk", "desk-dark"
	phone, phoneDark window = "phone", "phone-dark"
)

func TestThePageInABrowser(t *testing.T) {
	b := newBrowser(t)
	for _, shown := range []struct {
		name    string
		report  *Report
		windows []window
	}{
		{"sample", sample(), []window{desk, deskDark, phone, phoneDark}},
		{"hostile", hostile(), []window{desk, phoneDark}},
		{"quiet", quiet(), []window{deskDark, phone}},
		{"enforce", enforced(), []window{desk}},
		{"one", crowded(1), []window{phone}},
	} {
		for _, w := range shown.windows {
			b.open(shown.report, w)
			if wide := ask[string](b, tooWide); wide != "" {
				b.Errorf("%s in a %s: wider than the window: %s", shown.name, w, wide)
			}
			if shown.name == "sample" { // which has one of everything
				is(b, poorContrast, "")
			}
			is(b, `document.title.startsWith('Referee: ')`, true)
			is(b, `document.querySelectorAll('script').length`, 1)
			b.screenshot(fmt.Sprintf("%s-%s", shown.name, w))
		}
	}

	// Without the script all is there.
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.open(crowded(60), desk)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: false})
	is(b, rows+`.length`, 60)
	is(b, `document.querySelectorAll('button, input').length`, 0)

	b.open(crowded(5000), desk)
	is(b, rows+".length", 20)
	is(b, `document.querySelectorAll('#names tbody tr').length`, 5000)

	// By click: numbers begin with the largest, and turn round.
	header := func(n int) string { return fmt.Sprintf("#names thead th:nth-child(%d) button", n) }
	sorted := func(n int) string {
		return fmt.Sprintf(`document.querySelector('#names thead th:nth-child(%d)').ariaSort`, n)
	}
	seen := rows + `.map(r => Number(r.cells[3].textContent.replaceAll(',', '')))`
	b.do(chromedp.Click(chromedp.CSS(header(4))))
	is(b, sorted(4), "descending")
	is(b, seen+`.every((n, i, all) => !i || all[i - 1] >= n)`, true)
	is(b, `Math.max(...`+seen+`)`, 9973)
	b.do(chromedp.Click(chromedp.CSS(header(4))))
	is(b, sorted(4), "ascending")
	is(b, seen+`.every((n, i, all) => !i || all[i - 1] <= n)`, true)

	// By keyboard: the button of the first header is reached and pressed.
	b.do(chromedp.Focus(chromedp.CSS(header(1))), chromedp.KeyEvent(kb.Enter))
	is(b, sorted(1), "ascending")
	is(b, `document.querySelectorAll('#names th[aria-sort]').length`, 1)
	is(b, rows+`.map(r => r.querySelector('code').textContent).every((n, i, all) => !i || all[i - 1] <= n)`, true)
	b.do(chromedp.KeyEvent(kb.Tab))
	is(b, `document.activeElement.textContent`, "Score")

	// Times are sorted as times.
	b.do(chromedp.Click(chromedp.CSS(header(6))))
	is(b, rows+`.map(r => r.cells[5].querySelector('time').dateTime).every((n, i, all) => !i || all[i - 1] <= n)`, true)

	// The filter looks at all, and says how many it found.
	b.do(chromedp.SendKeys(chromedp.CSS("#names input"), "q7919xkz"))
	is(b, rows+".length", 1)
	is(b, first, "q7919xkz.com")
	is(b, `document.querySelector('#names output').value`, "1 of 5,000 shown")
	b.do(chromedp.SendKeys(chromedp.CSS("#names input"), kb.Backspace+"nothing like it"))
	is(b, rows+".length", 0)
	is(b, `document.querySelector('#names output').value`, "0 of 5,000 shown")
	is(b, `(i => { i.value = ''; i.dispatchEvent(new Event('input')) })(document.querySelector('#names input')) ?? 'done'`, "done")
	is(b, rows+".length", 20)
	b.do(chromedp.Click(chromedp.CSS("#names button.all")))
	is(b, rows+".length", 5000)
	b.settled()

	// On a phone there is a list to choose the column from.
	b.open(crowded(60), phone)
	is(b, tooWide, "")
	is(b, `(s => { s.value = 3; s.dispatchEvent(new Event('change')) })(document.querySelector('#names select'))`+
		` ?? document.querySelector('#names thead th:nth-child(4)').ariaSort`, "descending")
	is(b, `getComputedStyle(document.querySelector('#names thead button')).visibility`, "hidden")
	b.settled()
}

// poorContrast names the first text of less contrast than WCAG 2's 4.5 to 1 on the nearest ground that is painted.
const poorContrast = `(() => {
  const parse = (c) => (c.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  for (const e of document.querySelectorAll('body *')) {
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!text || !e.checkVisibility() || e.tagName === 'SCRIPT') continue;
    const style = getComputedStyle(e);
    const a = light(parse(e instanceof SVGElement ? style.fill : style.color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) return e.tagName + ' ' + e.className + ' "' + e.textContent.trim().slice(0, 30) + '" ' + ratio.toFixed(2);
  }
  return '';
})()`
