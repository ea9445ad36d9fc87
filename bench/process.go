//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// goSettings hold for every Go server that is measured.
var goSettings = []string{"GOMAXPROCS=1", "GOGC=100"}

// process is a server under measurement.
type process struct {
	name      string
	cmd       *exec.Cmd
	addr      string            // where it takes requests
	addresses map[string]string // of the sidecar's listeners
}

// start runs a command on one core and waits until a line of its output says where it listens.
func (b *bench) start(name string, core int, listening func(line string) (map[string]string, error), program string, args ...string) (*process, error) {
	cmd := exec.CommandContext(b.ctx, program, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + b.dir}, goSettings...)
	cmd.WaitDelay = 5 * time.Second
	output, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := onCore(core, cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd}
	lines := bufio.NewScanner(output)
	var said []string
	for lines.Scan() {
		if p.addresses, err = listening(lines.Text()); err != nil {
			break
		}
		if p.addresses != nil {
			p.addr = p.addresses["api"]
			go func() { // it must not wait for a reader
				for lines.Scan() {
				}
			}()
			return p, nil
		}
		said = append(said, lines.Text())
	}
	p.stop()
	return nil, errors.Join(err, fmt.Errorf("%s does not start: %s", name, strings.Join(said, "; ")))
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // nothing of it is kept
	_ = p.cmd.Wait()
}

// at is the same process at another of its listeners.
func (p *process) at(listener string) *process {
	q := *p
	q.addr = p.addresses[listener]
	return &q
}

// startYardstick runs one of our own servers.
func (b *bench) startYardstick(core int, kind string, args ...string) (*process, error) {
	return b.start(kind, core, func(line string) (map[string]string, error) {
		return map[string]string{"api": line}, nil
	}, b.self, append([]string{"yardstick", kind}, args...)...)
}

// startReferee runs the sidecar as its owners do: shadow mode, a ledger on disk, evidence and metrics on.
func (b *bench) startReferee(application string) (*process, error) {
	b.count++
	const any = "127.0.0.1:0"
	args := []string{
		"serve", "--mode", "shadow", "--listen", any, "--health-listen", any, "--admin-listen", any,
		"--data-dir", filepath.Join(b.dir, "data"+strconv.Itoa(b.count)), "--log-format", "json",
	}
	if application != "" {
		args = append(args, "--proxy-listen", any, "--proxy-upstream", application)
	}
	return b.start("referee", b.serving, func(line string) (map[string]string, error) {
		var said struct {
			Msg       string
			Addresses map[string]string
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			return nil, errors.New(line)
		}
		if said.Msg != "serving" {
			return nil, nil
		}
		return said.Addresses, nil
	}, b.referee, args...)
}

// metrics reads the sidecar's metrics, those without a histogram's or summary's parts, by name and labels.
func (p *process) metrics(b *bench) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+p.addresses["health"]+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	all := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); found && err == nil {
			all[name] = n
		}
	}
	return all, lines.Err()
}

// cpu is the processor time that the kernel has accounted to all threads of the process, those that have ended included, to
// the nanosecond: clock_getcpuclockid(3).
func (p *process) cpu() (time.Duration, error) { return clock(int32(^p.cmd.Process.Pid)<<3 | 2) }

func clock(id int32) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// rss is the process's resident memory in bytes.
func (p *process) rss() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kb, 10, 64)
	return n << 10, err
}

// chooseCores picks the core of the servers and that of the load: the last and the first that this process may use.
func chooseCores() (serving, loading int, err error) {
	var mine unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mine); err != nil {
		return 0, 0, fmt.Errorf("which cores there are: %w", err)
	}
	loading = -1
	for core := range len(mine) * 64 {
		if mine.IsSet(core) {
			if loading < 0 {
				loading = core
			}
			serving = core
		}
	}
	if serving == loading {
		return 0, 0, errors.New("this needs two cores: one for the servers and one for the load")
	}
	return serving, loading, nil
}

// pinSelf moves every thread of this process to a core. Later ones start where the thread is that makes them.
func pinSelf(core int) error {
	for moved := true; moved; {
		moved = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			var is unix.CPUSet
			if err := unix.SchedGetaffinity(id, &is); errors.Is(err, syscall.ESRCH) || err == nil && is.Count() == 1 && is.IsSet(core) {
				continue
			}
			if err := unix.SchedSetaffinity(id, one(core)); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("pin to core %d: %w", core, err)
			}
			moved = true
		}
	}
	return nil
}

// onCore calls f on a thread that is pinned to a core: processes that it starts stay there.
func onCore(core int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if err := unix.SchedSetaffinity(0, one(core)); err != nil {
		return fmt.Errorf("pin to core %d: %w", core, err)
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &before))
}

func one(core int) *unix.CPUSet {
	var s unix.CPUSet
	s.Set(core)
	return &s
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
