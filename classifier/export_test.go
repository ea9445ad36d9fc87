package classifier

// Vectors reports whether n is computed with vector instructions.
func (n *Network) Vectors() bool { return n.vector }

// SetVectors chooses: they must be there.
func (n *Network) SetVectors(on bool) { n.vector = on }

// NetworkOf is the network of a model.
func NetworkOf(m *Model) *Network { return m.cascade.Network }
