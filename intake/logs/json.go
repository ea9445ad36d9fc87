package logs

import (
	"bytes"
	"strings"
)

// Fields names the fields of JSON lines: each a list of paths, the first that is there counts. A path goes into objects by
// dots (request.headers.Referer); an array stands for its elements. Case does not matter.
type Fields struct {
	Referer   []string `yaml:"referer" default:"referer,http_referer,request.headers.Referer,request_Referer,referrer,cs(Referer)" help:"Fields of JSON lines that may hold the Referer; the first that is there counts. Dots go into objects."`
	Client    []string `yaml:"client" default:"remote_addr,request.remote_ip,remote_ip,ClientHost,downstream_remote_address,c-ip,client,client_ip,clientip,ip,request.remote_addr" help:"Fields that may hold the other end of the connection. It is the client, unless it is one of trusted-proxies."`
	Forwarded []string `yaml:"forwarded" default:"http_x_forwarded_for,x_forwarded_for,request.headers.X-Forwarded-For,request_X-Forwarded-For,x-forwarded-for,xff" help:"Fields that may hold X-Forwarded-For, which is believed as far as trusted-proxies reach."`
	Time      []string `yaml:"time" default:"time,ts,timestamp,@timestamp,time_iso8601,msec,start_time,StartUTC,time_local,date" help:"Fields that may hold the time: RFC 3339, Unix time in seconds to nanoseconds, or the clock of access logs."`
	Host      []string `yaml:"host" default:"host,http_host,request.host,RequestHost,authority,x-host-header,server_name,vhost" help:"Fields that may hold whom the request was for."`
	Path      []string `yaml:"path" default:"request_uri,uri,path,request.uri,RequestPath,cs-uri-stem,url" help:"Fields that may hold the path."`
	Agent     []string `yaml:"agent" default:"http_user_agent,user_agent,request.headers.User-Agent,request_User-Agent,cs(User-Agent),useragent,agent" help:"Fields that may hold the User-Agent."`
}

// DefaultFields are those that the tags of Fields name: what nginx, HAProxy, Caddy, Traefik, Envoy and CloudFront are
// mostly told to write.
func DefaultFields() Fields {
	return Fields{
		Referer:   strings.Split("referer,http_referer,request.headers.Referer,request_Referer,referrer,cs(Referer)", ","),
		Client:    strings.Split("remote_addr,request.remote_ip,remote_ip,ClientHost,downstream_remote_address,c-ip,client,client_ip,clientip,ip,request.remote_addr", ","),
		Forwarded: strings.Split("http_x_forwarded_for,x_forwarded_for,request.headers.X-Forwarded-For,request_X-Forwarded-For,x-forwarded-for,xff", ","),
		Time:      strings.Split("time,ts,timestamp,@timestamp,time_iso8601,msec,start_time,StartUTC,time_local,date", ","),
		Host:      strings.Split("host,http_host,request.host,RequestHost,authority,x-host-header,server_name,vhost", ","),
		Path:      strings.Split("request_uri,uri,path,request.uri,RequestPath,cs-uri-stem,url", ","),
		Agent:     strings.Split("http_user_agent,user_agent,request.headers.User-Agent,request_User-Agent,cs(User-Agent),useragent,agent", ","),
	}
}

type field uint8

const (
	noField field = iota
	fieldReferer
	fieldClient
	fieldForwarded
	fieldTime
	fieldHost
	fieldPath
	fieldAgent
	numFields
)

// Names is Fields as a tree, to be walked beside each line. It is immutable and safe for concurrent use.
type Names struct{ root node }

type node struct {
	name  []byte // in lower case
	field field
	rank  uint8 // of the field's paths, from 1
	kids  []*node
}

// NewNames makes the tree.
func NewNames(f Fields) *Names {
	n := &Names{}
	for at, paths := range [numFields][]string{
		fieldReferer: f.Referer, fieldClient: f.Client, fieldForwarded: f.Forwarded, fieldTime: f.Time,
		fieldHost: f.Host, fieldPath: f.Path, fieldAgent: f.Agent,
	} {
		for i, path := range paths[:min(len(paths), 250)] {
			n.root.add([]string{path}, field(at), uint8(i+1)) // a key may hold dots itself
			n.root.add(strings.Split(path, "."), field(at), uint8(i+1))
		}
	}
	return n
}

func (n *node) add(path []string, f field, rank uint8) {
	for _, name := range path {
		kid := n.kid([]byte(name))
		if kid == nil {
			kid = &node{name: bytes.ToLower([]byte(name))}
			n.kids = append(n.kids, kid)
		}
		n = kid
	}
	if n.field == noField {
		n.field, n.rank = f, rank
	}
}

func (n *node) kid(name []byte) *node {
	for _, k := range n.kids {
		if len(k.name) == len(name) && equalFold(name, k.name) {
			return k
		}
	}
	return nil
}

// equalFold compares ASCII whatever its case; lower is in lower case and as long.
func equalFold(b, lower []byte) bool {
	for i, c := range lower {
		if d := b[i]; d != c && (d < 'A' || d > 'Z' || d|0x20 != c) {
			return false
		}
	}
	return true
}

// json reads an object a line.
func (p *Parser) json(line []byte, out *Line) error {
	p.cursor.b, p.cursor.i = line, 0
	clear(p.ranks[:])
	if !p.cursor.next('{') || !p.object(&p.fields.root, out) || p.cursor.peek() != 0 || p.cursor.i < len(line) {
		return errNotJSON
	}
	if p.ranks[fieldReferer]|p.ranks[fieldClient]|p.ranks[fieldForwarded] == 0 {
		return errNoFields
	}
	return nil
}

// object walks an object whose bracket was read. It goes no deeper than the paths do.
func (p *Parser) object(n *node, out *Line) bool {
	for first := true; ; first = false {
		key, more, ok := p.cursor.key(first)
		if !more || !ok {
			return ok
		}
		kid := n.kid(key)
		switch at := p.cursor.peek(); {
		case kid == nil:
			ok = p.cursor.skip()
		case at == '{' && len(kid.kids) > 0:
			p.cursor.i++
			ok = p.object(kid, out)
		case at == '[':
			p.cursor.i++
			ok = p.array(kid, out)
		default:
			ok = p.take(kid, out, true)
		}
		if !ok {
			return false
		}
	}
}

// array takes the first element; of X-Forwarded-For every one, for each was a line.
func (p *Parser) array(n *node, out *Line) bool {
	for first := true; ; first = false {
		more, ok := p.cursor.element(first)
		if !more || !ok {
			return ok
		}
		if !first && n.field != fieldForwarded {
			if !p.cursor.skip() {
				return false
			}
			continue
		}
		if !p.take(n, out, first) {
			return false
		}
	}
}

// take reads one value for a field, unless a path that goes before it was there. Of a key that stands twice the last
// counts, as in encoding/json.
func (p *Parser) take(n *node, out *Line, first bool) bool {
	if n.field == noField || p.ranks[n.field] != 0 && p.ranks[n.field] < n.rank {
		return p.cursor.skip()
	}
	v, ok := p.cursor.scalar()
	if !ok {
		return false
	}
	if v == nil {
		return true
	}
	p.ranks[n.field] = n.rank
	switch n.field {
	case fieldReferer:
		out.Referer = value(v)
	case fieldClient:
		out.Client = address(v)
	case fieldForwarded:
		if first {
			out.Forwarded = nil
		}
		p.forward(out, v)
	case fieldTime:
		out.Time, _ = anyTime(v) // a line without one is of the time of the line before
	case fieldHost:
		out.Host = value(v)
	case fieldPath:
		out.Path = value(v)
	case fieldAgent:
		out.Agent = value(v)
	}
	return true
}
