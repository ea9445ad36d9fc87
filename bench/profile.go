//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profile takes CPU profiles of the sidecar through its admin listener, each under the load of a row.
func (b *bench) profile() error {
	if err := os.MkdirAll(b.Profile, 0o750); err != nil {
		return err
	}
	application, err := b.startYardstick(b.loading, "hello")
	if err != nil {
		return err
	}
	defer application.stop()
	p, err := b.startReferee(application.addr)
	if err != nil {
		return err
	}
	defer p.stop()
	for _, under := range []*contestant{
		{name: "check", server: p, next: looped(usual(checkTarget, fewClients), loopOf)},
		{name: "check-many-clients", server: p, next: looped(usual(checkTarget, manyClients), loopOf)},
		{name: "new", server: p, next: unseen(checkTarget, fewClients).next},
		{name: "proxy", server: p.at("proxy"), next: looped(usual("", fewClients), loopOf)},
	} {
		if _, err := b.window(under, load{lasts: b.Window}); err != nil { // the caches fill
			return err
		}
		seconds := max(int(b.Window/time.Second), 1) * 5
		file := filepath.Join(b.Profile, under.name+".pprof")
		failed := make(chan error, 1)
		go func() { failed <- b.fetchProfile(p, seconds, file) }()
		if _, err := b.window(under, load{lasts: time.Duration(seconds) * time.Second}); err != nil {
			return err
		}
		if err := <-failed; err != nil {
			return fmt.Errorf("profile under %s: %w", under.name, err)
		}
		fmt.Fprintln(b.log, file)
	}
	return nil
}

func (b *bench) fetchProfile(p *process, seconds int, file string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.addresses["admin"], seconds)
	request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", url, answer.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, answer.Body)
	return errors.Join(err, f.Close())
}
