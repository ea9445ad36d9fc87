package training

import (
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile writes a file whole or not at all: beside its place first, then renamed, so that an interrupted run leaves
// what was there.
func WriteFile(path string, data []byte) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
			os.Remove(temporary.Name()) //nolint:errcheck // the first error is the one to tell
		}
	}()
	if _, err = temporary.Write(data); err != nil {
		temporary.Close() //nolint:errcheck // the first error is the one to tell
		return err
	}
	if err = temporary.Sync(); err != nil {
		temporary.Close() //nolint:errcheck // the first error is the one to tell
		return err
	}
	if err = temporary.Close(); err != nil {
		return err
	}
	if err = os.Chmod(temporary.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
