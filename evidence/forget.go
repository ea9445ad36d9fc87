package evidence

import "net/netip"

// Forget erases what is known of one client, which is a ClientPrefix: its own record, and that it is the witness for a name
// or one of a cohort. That somebody of its network sent a name stays. Changes gives out the rows that changed.
func (s *State) Forget(client netip.Prefix) {
	key := keyOf(client)
	if e := s.clients.index[key]; e != nil {
		s.clients.remove(e)
	}
	for e := range s.names.all(0) {
		if e.value.Networks.forget(key, false) {
			s.names.mark(e)
		}
	}
	for e := range s.cohorts.all(0) {
		if e.value.Clients.forget(key, true) {
			s.cohorts.mark(e)
		}
	}
}

// forget takes a client out of a sample: the item with it, or only who it was.
func (s *Sample) forget(client clientKey, item bool) (changed bool) {
	for i := len(s.items) - 1; i >= 0; i-- {
		if s.items[i].client != client {
			continue
		}
		if changed = true; item {
			s.items = append(s.items[:i], s.items[i+1:]...)
		} else {
			s.items[i].client = 0
		}
	}
	return changed
}

// ForgetRow does with a row what State.Forget does with a record, and reports whether the row named the client. A row that
// cannot be read is gone then: nobody can tell whom it names.
func ForgetRow(r Row, client netip.Prefix) (Row, bool) {
	gone := Row{Kind: r.Kind, Key: r.Key}
	key := keyOf(client)
	switch r.Kind {
	case KindClient:
		return gone, r.Key == client.String()
	case KindName:
		n, err := DecodeName(r)
		if err != nil {
			return gone, true
		}
		changed := n.Networks.forget(key, false)
		return encodeName(&n), changed
	case KindCohort:
		c, err := DecodeCohort(r)
		if err != nil {
			return gone, true
		}
		changed := c.Clients.forget(key, true)
		return encodeCohort(&c), changed
	}
	return gone, true
}
