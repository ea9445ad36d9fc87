//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/valyala/fasthttp"
	"golang.org/x/net/publicsuffix"

	"referee/classifier"
	"referee/features"
)

// yardstickCommand is a server that Referee is measured beside, in a process of its own. Its settings are fasthttp's own: buffers
// of 4 KiB for reading and writing, which is what Referee has for reading.
type yardstickCommand struct {
	Kind        string `arg:"" enum:"hello,lookup,model,proxy"`
	Application string `arg:"" optional:""`
}

func (c *yardstickCommand) Run(ctx context.Context, std streams) error {
	handler, err := c.handler()
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(std.err, ln.Addr())
	s := &fasthttp.Server{Handler: handler, Concurrency: 20_000}
	return s.Serve(ln)
}

func (c *yardstickCommand) handler() (fasthttp.RequestHandler, error) {
	switch c.Kind {
	case "lookup":
		return lookup()
	case "model":
		return model()
	case "proxy":
		hc := &fasthttp.HostClient{Addr: c.Application, MaxConns: 20_000}
		return func(ctx *fasthttp.RequestCtx) {
			if err := hc.Do(&ctx.Request, &ctx.Response); err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadGateway)
			}
		}, nil
	}
	return func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello") }, nil
}

// lookup is the plain way to do the cached part of a check: the Referer's registered domain by x/net's public suffix list, and a
// plain LRU cache of scores.
func lookup() (fasthttp.RequestHandler, error) {
	cache, err := lru.New[string, float32](65536)
	if err != nil {
		return nil, err
	}
	return func(ctx *fasthttp.RequestCtx) {
		_, host, _ := bytes.Cut(ctx.Request.Header.Referer(), []byte("://"))
		if end := bytes.IndexAny(host, "/:?#"); end >= 0 {
			host = host[:end]
		}
		domain, err := publicsuffix.EffectiveTLDPlusOne(string(bytes.ToLower(host)))
		if err != nil {
			return
		}
		score, found := cache.Get(domain)
		if !found {
			cache.Add(domain, score)
		}
		ctx.Response.Header.Set("X-Verdict", "benign")
	}, nil
}

// model is a hello that also has the Referer's name scored, without a cache.
func model() (fasthttp.RequestHandler, error) {
	m, err := classifier.Default()
	if err != nil {
		return nil, err
	}
	parsers := sync.Pool{New: func() any { return new(features.Parser) }}
	return func(ctx *fasthttp.RequestCtx) {
		parser := parsers.Get().(*features.Parser)
		if name, reason := parser.Referer(ctx.Request.Header.Referer()); reason == features.Named {
			m.Judge(name)
		}
		parsers.Put(parser)
		ctx.SetBodyString("hello")
	}, nil
}
