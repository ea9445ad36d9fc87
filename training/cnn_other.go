//go:build !amd64

package training

func fastLoops() loops { return plainLoops() }
