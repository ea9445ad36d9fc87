package logs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"referee/intake"
)

// Config says which logs are read live. All are off by default.
type Config struct {
	Listen   string         `yaml:"listen" placeholder:"ADDRESS" help:"Where access logs are taken as syslog, UDP and TCP, such as 127.0.0.1:5514. Keep it on loopback or a private network: who can reach it can send sightings."`
	Files    []string       `yaml:"files" placeholder:"PATH" help:"Access logs to follow through rotation, truncation and restarts; patterns such as /var/log/nginx/*.access.log are looked at again and again."`
	Format   string         `yaml:"format" default:"auto" enum:"auto,combined,json,waf" help:"Format of these lines; auto tells them apart one by one."`
	Fields   Fields         `yaml:"json" embed:"" prefix:"json-"`
	WAF      WAFConfig      `yaml:"waf" embed:"" prefix:"waf-"`
	Firehose FirehoseConfig `yaml:"firehose" embed:"" prefix:"firehose-"`
}

// WAFConfig is where the logs of AWS WAF are.
type WAFConfig struct {
	S3       string        `yaml:"s3" name:"s3" placeholder:"s3://BUCKET/PREFIX" help:"Where AWS WAF writes its logs, such as s3://aws-waf-logs-site/AWSLogs/: polled, so that what is blocked stays so while it goes on. It needs s3:ListBucket and s3:GetObject."`
	Region   string        `yaml:"region" help:"Region of the bucket; by default what the AWS environment says."`
	Endpoint string        `yaml:"endpoint" help:"Base URL of another S3 endpoint, because emulators and VPC endpoints have addresses of their own."`
	Interval time.Duration `yaml:"interval" default:"1m" help:"Time between two looks at the bucket; AWS writes every five minutes."`
	Evidence bool          `yaml:"evidence" default:"true" negatable:"" help:"Take requests that AWS WAF let through as evidence. Turn it off where the sidecar sees them already, by check, mirror, proxy or access log, or they count twice."`
}

// FirehoseConfig is an HTTP endpoint destination of Amazon Data Firehose.
type FirehoseConfig struct {
	Listen  string `yaml:"listen" placeholder:"ADDRESS" help:"Where Amazon Data Firehose delivers AWS WAF logs. It wants HTTPS on 443 with a public name: terminate TLS before it, or give it the files."`
	KeyFile string `yaml:"key-file" placeholder:"FILE" help:"File with the access key that Firehose was told, 16 bytes or more, and during a change the other one on a line of its own; requests with neither are refused. Read again when it changes."`
	TLSCert string `yaml:"tls-cert" placeholder:"FILE" help:"Certificate chain in PEM, if TLS ends here; read again when it changes, because certificates are renewed while the process runs."`
	TLSKey  string `yaml:"tls-key" placeholder:"FILE" help:"Its private key in PEM."`
	MaxBody int64  `yaml:"max-body" default:"16777216" help:"Largest delivery in bytes, inflated; larger ones are refused for good (413), so keep Firehose's buffer hint below a quarter of it."`
}

// Enabled reports whether anything is to be read.
func (c Config) Enabled() bool {
	return c.Listen != "" || len(c.Files) > 0 || c.WAF.S3 != "" || c.Firehose.Listen != ""
}

// Validate refuses what could not be read. It accepts everything of what is off.
func (c Config) Validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, l := range []struct{ key, address, usual string }{
		{"logs.listen", c.Listen, "127.0.0.1:5514"}, {"logs.firehose.listen", c.Firehose.Listen, ":8614"},
	} {
		if l.address != "" {
			errs = append(errs, intake.ValidateListen(l.key, l.address, l.usual))
		}
	}
	for _, path := range c.Files {
		if strings.HasSuffix(path, ".gz") || strings.HasSuffix(path, ".zst") {
			refuse("logs.files: %s is compressed, and grows no more; `referee scan` reads it", path)
		}
	}
	if c.WAF.S3 != "" {
		if _, _, err := ParseS3(c.WAF.S3); err != nil {
			refuse("logs.waf.s3: %w", err)
		}
		if c.WAF.Interval < time.Second || c.WAF.Interval > time.Hour {
			refuse("logs.waf.interval: %v is not between 1s and 1h; the default is 1m", c.WAF.Interval)
		}
	}
	if f := c.Firehose; f.Listen != "" {
		if f.KeyFile == "" {
			errs = append(errs, errors.New("logs.firehose.key-file: without an access key anybody could send sightings; write one to a file, and tell it Firehose"))
		}
		if (f.TLSCert == "") != (f.TLSKey == "") {
			errs = append(errs, errors.New("logs.firehose: tls-cert and tls-key belong together; set both, or neither and end TLS before it"))
		}
		if f.MaxBody < 1<<20 || f.MaxBody > 256<<20 {
			refuse("logs.firehose.max-body: %d is not between %d and %d; the default is %d", f.MaxBody, 1<<20, 256<<20, 16<<20)
		}
	}
	return errors.Join(errs...)
}

// isLoopback tells an address that only this machine reaches.
func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
