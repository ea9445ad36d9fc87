//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// nginxConfig is the example under deploy/examples/nginx-auth-request, on one core and without logs, beside the same proxy
// without the question. The sidecar has a second to answer and not 50 ms: what is measured is all of the questions.
const nginxConfig = `
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    upstream application { server %[1]s; keepalive 64; keepalive_requests 1000000000; }
    upstream referee     { server %[2]s; keepalive 64; keepalive_requests 1000000000; }
    server {
        listen 127.0.0.1:%[3]d;
        location / {
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
    }
    server {
        listen 127.0.0.1:%[4]d;
        location / {
            auth_request /_referee;
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
        location = /_referee {
            internal;
            proxy_pass http://referee/v1/check;
            proxy_http_version 1.1;
            proxy_method GET;
            proxy_pass_request_headers off;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_set_header Referer $http_referer;
            proxy_set_header User-Agent $http_user_agent;
            proxy_set_header X-Original-URI $request_uri;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_connect_timeout 50ms;
            proxy_send_timeout 1s;
            proxy_read_timeout 1s;
            proxy_intercept_errors on;
            error_page 400 401 404 405 408 413 414 429 431 500 501 502 503 504 505 =204 @open;
        }
        location @open { return 204; }
    }
}
`

// startNginx runs nginx with one listener that proxies ("api") and one that asks the sidecar too ("auth").
func (b *bench) startNginx(application, referee string) (*process, error) {
	b.count++
	dir := filepath.Join(b.dir, "nginx"+strconv.Itoa(b.count))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	plain, auth, err := twoPorts(b.ctx)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, application, referee, plain, auth), 0o600); err != nil {
		return nil, err
	}
	p := &process{name: "nginx", addr: fmt.Sprintf("127.0.0.1:%d", plain)}
	p.addresses = map[string]string{"api": p.addr, "auth": fmt.Sprintf("127.0.0.1:%d", auth)}
	p.cmd = exec.CommandContext(b.ctx, b.Nginx, "-p", dir, "-c", file, "-e", "stderr")
	var said bytes.Buffer
	p.cmd.Stderr = &said
	if err := onCore(b.serving, p.cmd.Start); err != nil {
		return nil, err
	}
	for range 100 { // it says nothing when it listens
		conn, err := new(net.Dialer).DialContext(b.ctx, "tcp", p.addresses["auth"])
		if err == nil {
			return p, conn.Close()
		}
		select {
		case <-b.ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	p.stop()
	return nil, fmt.Errorf("nginx does not start: %s", said.String())
}

// twoPorts finds two that are free now.
func twoPorts(ctx context.Context) (a, b int, err error) {
	var ports [2]int
	for i := range ports {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		defer ln.Close() // after both are known, so that they differ
		ports[i] = ln.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1], nil
}
