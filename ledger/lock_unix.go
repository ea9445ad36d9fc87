//go:build unix

package ledger

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// lockDirectory takes the lock file until it is closed or the process ends, however it ends: flock belongs to the open
// file, and the kernel closes that. The file names its owner, for the error that another process shows.
func lockDirectory(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: make the directory writable, or set data-dir to another", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			owner := make([]byte, 64)
			n, _ := f.Read(owner)
			err = fmt.Errorf("%w (%s): stop that one, or give this one a data-dir of its own",
				ErrInUse, strings.TrimSpace(string(owner[:n])))
		} else {
			err = fmt.Errorf("lock %s: %w: set data-dir to a file system with locks", path, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintf(f, "process %d\n", os.Getpid()); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: free some space, or set data-dir to another directory", err), f.Close())
	}
	return f, nil
}
