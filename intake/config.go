package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Config is how the check, observe and score endpoints are reached, and whom to believe about the client.
type Config struct {
	Listen         string   `yaml:"listen" default:"127.0.0.1:8610" help:"Where /v1/check, /v1/observe and /v1/score are served. Keep it away from the internet: who can reach it can send sightings."`
	TrustedProxies []string `yaml:"trusted-proxies" default:"127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7" help:"Ranges whose X-Forwarded-For is believed: the load balancer's subnets, the ingress, the CDN's origin-facing ranges. The client is the first other address from the right."`
	ForwardedFor   string   `yaml:"forwarded-for" default:"append" enum:"append,preserve,remove" help:"What the load balancer does with X-Forwarded-For (an ALB's xff_header_processing.mode). append is right. With preserve anybody can write any address there, and with remove there is none: then no client is held to account, and names alone are judged."`
	SessionHeader  string   `yaml:"session-header" help:"Header that your ingress sets on requests of a verified session, and removes from all others: its client is not blocked for an evidence.window. Believed from trusted-proxies only; one that lets a client's own header through lets it exempt itself."`
	MaxConnections int      `yaml:"max-connections" default:"10000" help:"Connections served at a time; further ones are answered 503 and closed. Each holds 4 KiB, and 64 KiB more while a request with a large header or a body is answered."`
}

// Validate refuses addresses that cannot be listened on and ranges that cannot be meant.
func (c Config) Validate() error {
	_, err := ParseProxies(c.TrustedProxies)
	for i := range len(c.SessionHeader) {
		if !tokenBytes[c.SessionHeader[i]] {
			err = errors.Join(err, fmt.Errorf("session-header: %q is no header name; write one such as X-Session-Verified", c.SessionHeader))
			break
		}
	}
	if kindOf([]byte(cmp.Or(c.SessionHeader, "x"))) != endToEnd {
		err = errors.Join(err, fmt.Errorf("session-header: %q has a meaning of its own; use one that only your ingress sets", c.SessionHeader))
	}
	return errors.Join(
		ValidateListen("listen", c.Listen, "127.0.0.1:8610"),
		err,
		validateConnections("max-connections", c.MaxConnections),
	)
}

// ObserveConfig is a listener for mirrors that cannot rewrite paths: off until it has an address.
type ObserveConfig struct {
	Listen         string `yaml:"listen" placeholder:"ADDRESS" help:"Where copies of requests arrive as they are, whatever their path: Envoy, Istio, Gateway API, Traefik and ingress-nginx mirror there, because they cannot put /v1/observe before the path. Off by default."`
	MaxConnections int    `yaml:"max-connections" default:"10000" help:"Connections served at a time; further ones are answered 503 and closed."`
}

// Enabled reports whether there is anything to listen on.
func (c ObserveConfig) Enabled() bool { return c.Listen != "" }

// Validate refuses what cannot be listened on; it accepts everything where the listener is off.
func (c ObserveConfig) Validate() error {
	if !c.Enabled() {
		return nil
	}
	return errors.Join(
		ValidateListen("observe.listen", c.Listen, "127.0.0.1:8614"),
		validateConnections("observe.max-connections", c.MaxConnections),
	)
}

// ProxyConfig is the reverse proxy in front of an application: off until it has an upstream.
type ProxyConfig struct {
	Listen          string        `yaml:"listen" default:":8613" help:"Where the application's requests are accepted when upstream is set."`
	Upstream        string        `yaml:"upstream" help:"The application: host:port, unix:/path of its socket, or https://host:port for TLS. Every request to proxy.listen goes there. Prefer a mirror or the check endpoint where you can: a proxy cannot survive its own death."`
	UpstreamCA      string        `yaml:"upstream-ca" name:"upstream-ca" placeholder:"FILE" help:"Certificates (PEM) that vouch for an https:// upstream, where they are not the system's. There is no switch that trusts everybody."`
	UpstreamName    string        `yaml:"upstream-name" placeholder:"NAME" help:"Name that an https:// upstream's certificate must hold and that is sent to it (SNI), where it is not the host in upstream."`
	ConnectTimeout  time.Duration `yaml:"connect-timeout" default:"1s" help:"How long a connection to the application may take; then 502."`
	ResponseTimeout time.Duration `yaml:"response-timeout" default:"60s" help:"How long the application may take to begin its answer; then 504. An ALB gives up after 60s."`
	StreamTimeout   time.Duration `yaml:"stream-timeout" default:"10m" help:"How long an answer that has begun may pause: longer than the silences of your server-sent events."`
	IdleTimeout     time.Duration `yaml:"idle-timeout" default:"75s" help:"How long a client's connection is kept between requests. Keep it above the load balancer's own (60s for an ALB), or it sends requests into closed connections."`
	UpstreamIdle    time.Duration `yaml:"upstream-idle" default:"4s" help:"How long a connection to the application is kept between requests. Keep it below the application's own (5s for Node.js and uvicorn)."`
	MaxConnections  int           `yaml:"max-connections" default:"10000" help:"Client connections served at a time; further ones are answered 503 and closed. The application never gets more."`
	MaxBody         int64         `yaml:"max-body" default:"0" help:"Largest request body in bytes; larger ones are answered 413. 0 leaves that to the application: bodies are streamed, so they cost no memory."`
}

// Enabled reports whether there is an application to stand in front of.
func (c ProxyConfig) Enabled() bool { return c.Upstream != "" }

// Validate refuses what cannot work; it accepts everything where the proxy is off.
func (c ProxyConfig) Validate() error {
	if !c.Enabled() {
		return nil
	}
	positive := func(key string, d time.Duration, usual string) error {
		if d <= 0 {
			return fmt.Errorf("proxy.%s: %s is not a time to wait; the default is %s", key, d, usual)
		}
		return nil
	}
	errs := []error{
		ValidateListen("proxy.listen", c.Listen, ":8613"),
		positive("connect-timeout", c.ConnectTimeout, "1s"),
		positive("response-timeout", c.ResponseTimeout, "60s"),
		positive("stream-timeout", c.StreamTimeout, "10m"),
		positive("idle-timeout", c.IdleTimeout, "75s"),
		positive("upstream-idle", c.UpstreamIdle, "4s"),
		validateConnections("proxy.max-connections", c.MaxConnections),
	}
	addr, isTLS := strings.CutPrefix(c.Upstream, "https://")
	if path, isUnix := strings.CutPrefix(c.Upstream, "unix:"); isUnix {
		if path == "" {
			errs = append(errs, errors.New("proxy.upstream: unix: needs the path of a socket, such as unix:/run/app.sock"))
		}
	} else if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || !dialable(port) {
		errs = append(errs, fmt.Errorf("proxy.upstream: %q is no host:port; write it like 127.0.0.1:8080, without http://, or like https://app.internal:8443", c.Upstream))
	}
	if !isTLS && (c.UpstreamCA != "" || c.UpstreamName != "") {
		errs = append(errs, errors.New("proxy.upstream-ca and proxy.upstream-name are for an upstream of the form https://host:port"))
	}
	if c.MaxBody < 0 {
		errs = append(errs, fmt.Errorf("proxy.max-body: %d is no size in bytes; 0 sets no limit", c.MaxBody))
	}
	return errors.Join(errs...)
}

// dialable tells a port by number or name. net.SplitHostPort takes http://x for the host http and the port //x.
func dialable(port string) bool {
	n, _ := net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // 0 is what it says of no port and of an unknown one, too
	return n > 0
}

// ValidateListen refuses what is no host:port, where the port is a number or the name of a service. The error names the key that the
// address was given for and what usually stands there.
func ValidateListen(key, addr, usual string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil && port != "" {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port)
	}
	if err != nil || port == "" {
		return fmt.Errorf("%s: %q is no address to listen on; write host:port, such as %s", key, addr, usual)
	}
	return nil
}

func validateConnections(key string, n int) error {
	if n < 1 || n > 1<<20 {
		return fmt.Errorf("%s: %d is not between 1 and %d; the default is 10000", key, n, 1<<20)
	}
	return nil
}
