package examples

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	generated = "https://xkqzvwpjthgf.com/"
	ordinary  = "https://gardenandkitchen.com/"
)

// wayIn is one example under test.
type wayIn struct {
	flags   []string // of the sidecar
	via     string   // the label of the requests that it brings
	refuses bool     // whether a current hit gets a 403 from it
	run     func(t *testing.T, site, application, referee string)
}

// asASidecarFails takes a way in through everything that can happen to the sidecar. What holds throughout: the end client
// gets the application's answer, and no other, unless it is a current hit.
func (w wayIn) asASidecarFails(t *testing.T) {
	app, sidecar, address := newApplication(t), newReferee(t, w.flags...), freeAddress(t)
	w.run(t, address, app.address, sidecar.listen)
	s := newSite(t, address)
	passes := func(t *testing.T, within time.Duration) {
		t.Helper()
		for _, referer := range []string{ordinary, "", generated} {
			if err := s.many(20, referer, func(int) {}); err != nil {
				t.Fatalf("with the Referer %q: %v", referer, err)
			}
			status, _, took, err := s.get("/", referer)
			if status != http.StatusOK || err != nil || took > within {
				t.Errorf("with the Referer %q: %d after %s, %v", referer, status, took, err)
			}
		}
	}

	t.Run("each request passes and is judged", func(t *testing.T) {
		before, served := sidecar.requests(w.via), app.served.Load()
		passes(t, 3*time.Second)
		if got := app.served.Load() - served; got != 63 {
			t.Errorf("the application served %d requests of 63", got)
		}
		eventually(t, "63 requests judged", func() bool { return sidecar.requests(w.via)-before == 63 })
	})
	t.Run("a request with a body passes whole", func(t *testing.T) {
		r, err := s.client.Post("http://"+address+"/order", "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("got %s", r.Status)
		}
	})
	t.Run("a current hit under inline: block", func(t *testing.T) {
		sidecar.accuse(generated)
		want := http.StatusOK
		if w.refuses {
			want = http.StatusForbidden
		}
		for range 3 {
			if status, _, _, err := s.get("/", generated); status != want || err != nil {
				t.Errorf("got %d, %v, want %d", status, err, want)
			}
		}
		if status, _, _, err := s.get("/", ordinary); status != http.StatusOK || err != nil {
			t.Errorf("another name: %d, %v", status, err)
		}
	})
	t.Run("the sidecar is killed in the middle of 1,000 requests", func(t *testing.T) {
		served := app.served.Load()
		var once sync.Once
		if err := s.many(1000, ordinary, func(i int) {
			if i >= 300 {
				once.Do(sidecar.kill)
			}
		}); err != nil {
			t.Error(err)
		}
		if got := app.served.Load() - served; got != 1000 {
			t.Errorf("the application served %d requests of 1,000", got)
		}
	})
	t.Run("the sidecar is down", func(t *testing.T) { passes(t, 2*time.Second) })
	t.Run("the sidecar hangs", func(t *testing.T) {
		stop := silent(t, sidecar.listen)
		defer stop()
		passes(t, 2*time.Second)
	})
	t.Run("the sidecar is back", func(t *testing.T) {
		sidecar.t = t
		sidecar.start()
		passed := sidecar.requests(w.via)
		if err := s.many(50, ordinary, func(int) {}); err != nil {
			t.Fatal(err)
		}
		want := 50
		if w.via == "log" {
			want = 40 // each worker of nginx loses a line or two to what it was told while nobody listened
		}
		eventually(t, "requests are judged again", func() bool { return sidecar.requests(w.via)-passed >= want })
	})
}

func TestNginxAuthRequest(t *testing.T) {
	wayIn{via: "check", refuses: true, run: func(t *testing.T, site, application, referee string) {
		runNginx(t, "nginx-auth-request", site, application, referee)
	}}.asASidecarFails(t)
}

func TestNginxMirror(t *testing.T) {
	wayIn{via: "observe", run: func(t *testing.T, site, application, referee string) {
		runNginx(t, "nginx-mirror", site, application, referee)
	}}.asASidecarFails(t)
}

// The controller needs a cluster; the location that it writes for a mirror does not.
func TestIngressNginxMirror(t *testing.T) {
	example := documents(t, "ingress-nginx/ingress.yaml")
	target, _ := example[0].at("metadata", "annotations", "nginx.ingress.kubernetes.io/mirror-target").(string)
	timeouts, _ := example[1].at("data", "http-snippet").(string)
	if !strings.HasPrefix(target, "http://referee.referee.svc.cluster.local:8610/") || timeouts == "" {
		t.Fatalf("the example says %q and %q", target, timeouts)
	}
	wayIn{via: "observe", run: func(t *testing.T, site, application, referee string) {
		startNginx(t, program(t, "nginx"), "testdata/ingress-nginx", site, map[string]string{
			exampleApplication: application, "HTTP_SNIPPET": timeouts,
			"MIRROR_TARGET": strings.Replace(target, "referee.referee.svc.cluster.local:8610", referee, 1),
		})
	}}.asASidecarFails(t)
}

func TestNginxSyslog(t *testing.T) {
	logs := freeAddress(t)
	wayIn{via: "log", flags: []string{"--logs-listen", logs}, run: func(t *testing.T, site, application, _ string) {
		startNginx(t, program(t, "nginx"), "nginx-syslog", site, map[string]string{exampleApplication: application, exampleSyslog: logs})
	}}.asASidecarFails(t)
}

func TestHAProxy(t *testing.T) {
	wayIn{via: "check", refuses: true, run: func(t *testing.T, site, application, referee string) {
		directory := configure(t, "haproxy", map[string]string{
			exampleSite: site, exampleApplication: application, exampleReferee: referee,
		})
		startHAProxy(t, directory, site)
	}}.asASidecarFails(t)
}

func TestHAProxySyslog(t *testing.T) {
	logs := freeAddress(t)
	wayIn{via: "log", flags: []string{"--logs-listen", logs}, run: func(t *testing.T, site, application, _ string) {
		startHAProxy(t, configure(t, "haproxy-syslog", map[string]string{
			exampleSite: site, exampleApplication: application, exampleSyslog: logs,
		}), site)
	}}.asASidecarFails(t)
}

func TestApache(t *testing.T) {
	wayIn{via: "check", refuses: true, run: func(t *testing.T, site, application, referee string) {
		httpd := program(t, "apache2", "httpd")
		directory := configure(t, "apache", map[string]string{
			"Listen 8080": "Listen " + site, exampleApplication: application, exampleReferee: referee,
			"/etc/referee": exampleDirectory,
		}, "modules/mod_", "/usr/lib/apache2/modules/mod_")
		start(t, exec.Command(httpd, "-d", directory, "-f", "httpd.conf", "-DFOREGROUND", "-c", "DefaultRuntimeDir "+directory), site)
	}}.asASidecarFails(t)
}

func TestCaddy(t *testing.T) {
	caddy, err := exec.LookPath("caddy")
	if err != nil {
		t.Skip("caddy is not installed: make test-caddy")
	}
	wayIn{via: "check", refuses: true, run: func(t *testing.T, site, application, referee string) {
		directory := configure(t, "caddy", map[string]string{
			exampleSite + " {": "http://" + site + " {", exampleApplication: application, exampleReferee: referee,
		})
		cmd := exec.Command(caddy, "run", "--config", filepath.Join(directory, "Caddyfile"), "--adapter", "caddyfile")
		cmd.Env = append(cmd.Environ(), "HOME="+directory)
		start(t, cmd, site)
	}}.asASidecarFails(t)
}

func startHAProxy(t *testing.T, directory, site string) {
	t.Helper()
	cmd := exec.Command(program(t, "haproxy"), "-f", "haproxy.cfg", "-db")
	cmd.Dir = directory
	start(t, cmd, site)
}

func runNginx(t *testing.T, example, site, application, referee string) {
	t.Helper()
	startNginx(t, program(t, "nginx"), example, site, map[string]string{exampleApplication: application, exampleReferee: referee})
}
