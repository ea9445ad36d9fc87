package logs

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile replaces a file whole or not at all. Its owner alone may read it: it says what clients sent.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // of a failure that is told
	}
	return err
}
