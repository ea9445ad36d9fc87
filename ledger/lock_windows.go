package ledger

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockDirectory takes the lock file until it is closed or the process ends: it is opened so that nobody else may.
func lockDirectory(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const errorSharingViolation = syscall.Errno(32)
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errorSharingViolation) {
		return nil, fmt.Errorf("%w: stop that one, or give this one a data-dir of its own", ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w: make the directory writable, or set data-dir to another", path, err)
	}
	return os.NewFile(uintptr(h), path), nil
}
