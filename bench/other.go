//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it reads the accounting of Linux, and runs nowhere else")
	os.Exit(1)
}
