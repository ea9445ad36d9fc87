package examples

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// What proxies that are not run here put on the wire, header by header.
var shapes = []struct {
	name, via, request string
}{
	{
		"Envoy's HTTP ext_authz: the original method, the prefix before the original path, lower-case names, no body", "check",
		"POST /v1/check/shop/%7Ex?q=1&q=2 HTTP/1.1\r\nhost: shop.example.com\r\ncontent-length: 0\r\nreferer: " + generated + "\r\n" +
			"user-agent: Mozilla/5.0\r\nx-forwarded-for: 8.8.8.8,10.0.1.17\r\nx-envoy-internal: true\r\nx-envoy-expected-rq-timeout-ms: 50\r\n\r\n",
	},
	{
		"older Envoys append themselves to X-Forwarded-For", "check",
		"GET /v1/check/ HTTP/1.1\r\nhost: shop.example.com\r\ncontent-length: 0\r\nreferer: " + generated + "\r\n" +
			"x-forwarded-for: 8.8.8.8,10.0.1.17,127.0.0.1\r\nx-envoy-internal: true\r\nx-envoy-expected-rq-timeout-ms: 50\r\n\r\n",
	},
	{
		"Envoy's mirror, and Gateway API's by Envoy: -shadow behind the host, the path as it was, the body in chunks", "observe",
		"POST /shop/%7Ex?q=1 HTTP/1.1\r\nhost: shop.example.com-shadow\r\nuser-agent: Mozilla/5.0\r\nreferer: " + generated + "\r\n" +
			"x-forwarded-for: 8.8.8.8,10.0.1.17\r\nx-forwarded-proto: https\r\nx-request-id: 6ff1f2a4-4b62-4a3c-9d5b-9f0a5b4b9f0a\r\n" +
			"x-envoy-internal: true\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	},
	{
		"the same with a port", "observe",
		"GET /v1/check HTTP/1.1\r\nhost: shop.example.com-shadow:8443\r\nreferer: " + generated + "\r\nx-forwarded-for: 8.8.8.8,10.0.1.17\r\n\r\n",
	},
	{
		"Traefik's mirroring: Go's names, the client's Host", "observe",
		"GET /shop?q=1 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept-Encoding: gzip\r\nReferer: " + generated + "\r\n" +
			"X-Forwarded-For: 8.8.8.8, 10.0.1.17\r\nX-Forwarded-Host: shop.example.com\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n" +
			"X-Forwarded-Server: traefik-0\r\nX-Real-Ip: 10.0.1.17\r\n\r\n",
	},
	{
		"the same with mirrorBody: false, of a request with a body: its length and no body", "observe",
		"POST /order HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0\r\nContent-Length: 5\r\nReferer: " + generated + "\r\n" +
			"X-Forwarded-For: 8.8.8.8, 10.0.1.17\r\n\r\n",
	},
}

func TestTheShapesOfProxiesThatAreNotRunHere(t *testing.T) {
	sidecar := newReferee(t, "--observe-listen", freeAddress(t))
	address := map[string]string{"check": sidecar.listen, "observe": sidecar.more[1]}
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address[shape.via])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			before := sidecar.requests(shape.via)
			if _, err := io.WriteString(conn, shape.request); err != nil {
				t.Fatal(err)
			}
			method, _, _ := strings.Cut(shape.request, " ")
			response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("got %s", response.Status)
			}
			if shape.via == "check" && response.Header.Get("X-Referee-Verdict") != "dga" {
				t.Errorf("verdict %q", response.Header.Get("X-Referee-Verdict"))
			}
			if n := sidecar.requests(shape.via) - before; n != 1 {
				t.Errorf("%d requests judged by way of %s", n, shape.via)
			}
		})
	}
}

// document is what YAML holds, to be walked.
type document struct{ v any }

func (d document) at(path ...any) any {
	v := d.v
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		}
	}
	return v
}

func documents(t *testing.T, file string) (all []document) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var v any
		if err := decoder.Decode(&v); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s: %s", file, yaml.FormatError(err, false, true))
		}
		all = append(all, document{v})
	}
}

func TestWhatMakesTheOtherExamplesFailOpenIsThere(t *testing.T) {
	f := func(file string, n int, want any, path ...any) {
		t.Helper()
		if got := documents(t, file)[n].at(path...); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v is %v, want %v", file, path, got, want)
		}
	}
	listener := []any{"static_resources", "listeners", 0, "filter_chains", 0, "filters", 0, "typed_config"}
	authz := append(listener[:len(listener):len(listener)], "http_filters", 0, "typed_config")
	under := func(base []any, path ...any) []any { return append(base[:len(base):len(base)], path...) }
	const envoy = "envoy-ext-authz/envoy.yaml"
	f(envoy, 0, true, under(authz, "failure_mode_allow")...)
	f(envoy, 0, "/v1/check", under(authz, "http_service", "path_prefix")...)
	f(envoy, 0, "0.05s", under(authz, "http_service", "server_uri", "timeout")...)
	f(envoy, 0, "referer", under(authz, "allowed_headers", "patterns", 0, "exact")...)
	f(envoy, 0, 8610, "static_resources", "clusters", 1, "load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address", "socket_address", "port_value")

	const mirror = "envoy-mirror/envoy.yaml"
	f(mirror, 0, "referee", under(listener, "route_config", "virtual_hosts", 0, "routes", 0, "route", "request_mirror_policies", 0, "cluster")...)
	f(mirror, 0, 8614, "static_resources", "clusters", 1, "load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address", "socket_address", "port_value")

	f("istio/istio.yaml", 0, 8614, "spec", "http", 0, "mirror", "port", "number")
	f("istio/istio.yaml", 1, "referee.referee.svc.cluster.local", "spec", "host")
	f("istio/istio.yaml", 1, 256, "spec", "trafficPolicy", "connectionPool", "http", "http2MaxRequests")
	f("istio/istio.yaml", 2, "CUSTOM", "spec", "action")
	provider := []any{"extensionProviders", 0, "envoyExtAuthzHttp"}
	f("istio/mesh.yaml", 0, true, under(provider, "failOpen")...)
	f("istio/mesh.yaml", 0, "0.05s", under(provider, "timeout")...)
	f("istio/mesh.yaml", 0, "/v1/check", under(provider, "pathPrefix")...)
	f("istio/mesh.yaml", 0, "[referer user-agent x-forwarded-for]", under(provider, "includeRequestHeadersInCheck")...)
	f("gateway-api/httproute.yaml", 0, "RequestMirror", "spec", "rules", 0, "filters", 0, "type")
	f("gateway-api/httproute.yaml", 0, 8614, "spec", "rules", 0, "filters", 0, "requestMirror", "backendRef", "port")
	f("gateway-api/httproute.yaml", 1, 8614, "spec", "ports", 0, "port")
	f("traefik-mirroring/dynamic.yaml", 0, "application", "http", "services", "mirrored", "mirroring", "service")
	f("traefik-mirroring/dynamic.yaml", 0, "http://127.0.0.1:8614", "http", "services", "referee", "loadBalancer", "servers", 0, "url")
	f("traefik-mirroring/dynamic.yaml", 0, "referee", "http", "services", "referee", "loadBalancer", "serversTransport")
	f("traefik-mirroring/dynamic.yaml", 0, "1s", "http", "serversTransports", "referee", "forwardingTimeouts", "responseHeaderTimeout")
	f("traefik-mirroring/dynamic.yaml", 0, "50ms", "http", "serversTransports", "referee", "forwardingTimeouts", "dialTimeout")
	f("traefik-mirroring/traefik.yaml", 0, "dynamic.yaml", "providers", "file", "filename")
}

// startNginx runs an example with the paths that a process without root can write.
func startNginx(t *testing.T, nginx, example, site string, addresses map[string]string) {
	t.Helper()
	addresses["listen 8080"] = "listen " + site
	directory := configure(t, example, addresses, "http {\n", "http {\n"+nginxPaths, "worker_processes auto", "worker_processes 2")
	globals := fmt.Sprintf("daemon off; pid %s/nginx.pid;", directory)
	if os.Geteuid() == 0 {
		globals += " user root;" // so that its workers can use a test's directory
	}
	start(t, exec.Command(nginx, "-p", directory, "-c", filepath.Join(directory, "nginx.conf"), "-e", "stderr", "-g", globals), site)
}

const nginxPaths = `    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    access_log off;
`
