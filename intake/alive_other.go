//go:build !unix

package intake

// alive cannot be known here without waiting.
func (c *upstreamConn) alive() bool { return c.br.Buffered() == 0 }
