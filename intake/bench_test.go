package intake

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"referee/features"
)

func nameOf(domain string) features.Name {
	var p features.Parser
	n, _ := p.Bare([]byte(domain))
	return n.Clone()
}

// parsedRequest is a request as fasthttp hands it to a handler, from a peer on a private network.
func parsedRequest(t testing.TB, request string) *fasthttp.RequestCtx {
	t.Helper()
	var r fasthttp.Request
	if err := r.Header.Read(bufio.NewReader(strings.NewReader(request))); err != nil {
		t.Fatal(err)
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&r, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 4711}, nil)
	return ctx
}
