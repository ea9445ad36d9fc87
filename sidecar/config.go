package sidecar

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"referee/alert"
	"referee/evidence"
	"referee/intake"
	"referee/intake/logs"
	"referee/ledger"
	"referee/policy"
	"referee/waf"
)

// Config is everything that an owner can set. One strict YAML file, flags and variables fill it: the key a.b is the flag
// --a-b and the variable REFEREE_A_B.
type Config struct {
	Observe intake.ObserveConfig `yaml:"observe" embed:"" prefix:"observe-"`

	Intake   intake.Config      `yaml:",inline" embed:""`
	Proxy    intake.ProxyConfig `yaml:"proxy" embed:"" prefix:"proxy-"`
	Logs     logs.Config        `yaml:"logs" embed:"" prefix:"logs-"`
	Mode     waf.Mode           `yaml:"mode" default:"shadow" enum:"shadow,enforce" help:"shadow plans and reports and writes nothing to AWS; enforce also applies the plan (with waf.writer)"`
	Inline   string             `yaml:"inline" default:"observe" enum:"observe,block" help:"block answers 403 to current hits on /v1/check and the proxy, in enforce mode only; observe never does"`
	DataDir  string             `yaml:"data-dir" default:"referee-data" placeholder:"DIR" help:"where the ledger lives; empty keeps it in memory, and then nothing is ever written to AWS"`
	Model    ModelConfig        `yaml:"classifier" embed:"" prefix:"classifier-"`
	Policy   policy.Config      `yaml:",inline" embed:""`
	Evidence evidence.Config    `yaml:"evidence" embed:"" prefix:"evidence-"`
	Ledger   ledger.Config      `yaml:"ledger" embed:"" prefix:"ledger-"`
	WAF      waf.Config         `yaml:"waf" embed:"" prefix:"waf-"`
	Alert    alert.Config       `yaml:"alert" embed:"" prefix:"alert-"`
	Health   HealthConfig       `yaml:"health" embed:"" prefix:"health-"`
	Admin    AdminConfig        `yaml:"admin" embed:"" prefix:"admin-"`
	Shutdown ShutdownConfig     `yaml:"shutdown" embed:"" prefix:"shutdown-"`
	Log      LogConfig          `yaml:"log" embed:"" prefix:"log-"`
}

// ModelConfig chooses the model, one to compare it with, and the size of its verdict cache.
type ModelConfig struct {
	File      string        `yaml:"model" name:"model" placeholder:"FILE" help:"a model file made by referee-train; empty uses the one built in"`
	Candidate string        `yaml:"candidate" placeholder:"FILE" help:"a second model that scores what was seen in the background and decides nothing: the report compares it with the first, before you put it in its place"`
	Watch     time.Duration `yaml:"watch" default:"2s" help:"how often to look for other files in place of these: a good one is swapped in, a bad one changes nothing; 0 leaves it to SIGHUP"`
	Drift     float64       `yaml:"drift" default:"0.25" help:"population stability index above which an alert says that live names score unlike those the model was calibrated on, since its confidence may not hold for them then; 0 never does"`
	Cache     int           `yaml:"cache" default:"65536" help:"names whose scores are kept, about 250 bytes each"`
}

// HealthConfig is the listener of probes and metrics.
type HealthConfig struct {
	Listen string `yaml:"listen" default:":8611" help:"address of /healthz, /readyz and /metrics"`
}

// AdminConfig is the private listener.
type AdminConfig struct {
	Listen string `yaml:"listen" default:"127.0.0.1:8612" help:"address of /report, /model and /debug/pprof; keep it private, it shows client addresses"`
}

// ShutdownConfig says how the process leaves a load balancer.
type ShutdownConfig struct {
	Delay   time.Duration `yaml:"delay" default:"5s" help:"how long readiness fails before listeners close, so that a load balancer stops sending first"`
	Timeout time.Duration `yaml:"timeout" default:"20s" help:"how long requests under way may take to finish after that"`
}

// LogConfig is how the process speaks on stderr.
type LogConfig struct {
	Level  string `yaml:"level" default:"info" enum:"debug,info,warn,error" help:"least level that is logged"`
	Format string `yaml:"format" default:"text" enum:"text,json" help:"one line of text or of JSON per event"`
}

// maxCache is 2.5 GB of names: more is a mistake.
const maxCache = 10_000_000

// minWatch is a look that costs nothing yet.
const minWatch = 10 * time.Millisecond

// Validate refuses what cannot work together. Each error names the key and the way out.
func (c Config) Validate() error {
	var errs []error
	if c.Model.Cache < 1 || c.Model.Cache > maxCache {
		errs = append(errs, fmt.Errorf("classifier.cache: %d is not between 1 and %d; the default is 65536", c.Model.Cache, maxCache))
	}
	if w := c.Model.Watch; w != 0 && w < minWatch {
		errs = append(errs, fmt.Errorf("classifier.watch: %v is not %v or more; the default is 2s, and 0 looks at SIGHUP only", w, minWatch))
	}
	if !(c.Model.Drift >= 0) { // NaN is refused too
		errs = append(errs, fmt.Errorf("classifier.drift: %v is no index above which to tell of drift; the default is 0.25, and 0 never tells", c.Model.Drift))
	}
	errs = append(errs, intake.ValidateListen("health.listen", c.Health.Listen, ":8611"), intake.ValidateListen("admin.listen", c.Admin.Listen, "127.0.0.1:8612"))
	if c.Mode == waf.ModeEnforce && c.WAF.Writer && c.DataDir == "" {
		errs = append(errs, errors.New("data-dir: enforce mode with waf.writer needs a directory that outlives the process; "+
			"set data-dir, or use mode shadow"))
	}
	if c.Inline == "block" && c.Mode != waf.ModeEnforce {
		errs = append(errs, errors.New("inline: block works in enforce mode only; set mode: enforce, or inline: observe"))
	}
	if confidence := float64(c.Policy.Confidence); confidence > c.Evidence.Interest {
		errs = append(errs, fmt.Errorf("evidence.interest: %v is below the confidence's benign tail %v, so what is flagged would not be "+
			"remembered; raise it to %v or more", c.Evidence.Interest, confidence, confidence))
	}
	if c.Shutdown.Delay < 0 || c.Shutdown.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("shutdown: delay %v must not be negative and timeout %v must be above zero", c.Shutdown.Delay, c.Shutdown.Timeout))
	}
	for _, part := range []interface{ Validate() error }{c.Intake, c.Observe, c.Proxy, c.Logs, c.Policy, c.Evidence, c.Ledger, c.WAF, c.Alert} {
		errs = append(errs, part.Validate())
	}
	return errors.Join(errs...)
}

// sets is the waf section with the mode, which says whether there must be sets. Validate does not ask that: referee waf init
// makes the sets of a configuration that has none yet.
func (c Config) sets() waf.Config {
	c.WAF.Mode = c.Mode
	return c.WAF
}

// restartNeeded lists the keys that differ in next and take effect at a start only: listeners, the ledger, the sets.
func (c Config) restartNeeded(next Config) []string {
	var keys []string
	for _, part := range []struct {
		key       string
		now, then any
	}{
		{"listen", c.Intake.Listen, next.Intake.Listen},
		{"max-connections", c.Intake.MaxConnections, next.Intake.MaxConnections},
		{"observe", c.Observe, next.Observe},
		{"proxy", c.Proxy, next.Proxy},
		{"logs", c.Logs, next.Logs},
		{"mode", c.Mode, next.Mode},
		{"data-dir", c.DataDir, next.DataDir},
		{"classifier.watch", c.Model.Watch, next.Model.Watch},
		{"evidence", c.Evidence, next.Evidence},
		{"ledger", c.Ledger, next.Ledger},
		{"waf", c.WAF, next.WAF},
		{"alert", c.Alert, next.Alert},
		{"health", c.Health, next.Health},
		{"admin", c.Admin, next.Admin},
		{"shutdown", c.Shutdown, next.Shutdown},
		{"log.format", c.Log.Format, next.Log.Format},
	} {
		if !reflect.DeepEqual(part.now, part.then) {
			keys = append(keys, part.key)
		}
	}
	return keys
}
