//go:build !unix

package intake

// newSocket finds no descriptor that could be read from without waiting.
func newSocket(w *watched) *socket { return &socket{watched: w, fd: -1} }

func readNow(int, []byte) (int, error) { return 0, errDrained }
