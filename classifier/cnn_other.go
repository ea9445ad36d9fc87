//go:build !amd64 || noasm

package classifier

func hasVectors() bool { return false }

func (n *Network) poolVector(acts *activations, text *[MaxCodes]uint8, length int) {
	n.pool(acts, text, length)
}

func (n *Network) addVector(sums *unitSums, acts *activations) { n.add(sums, acts) }
