package policy

import "referee/evidence"

// What makes an audience, beside the networks that name.crowd asks for.
const (
	minCrowd      = 10  // networks, at least
	crowdAgents   = 6   // kinds of agents: five common browsers on as many systems are more
	crowdHours    = 3   // hours of the day
	crowdSuspects = 0.1 // share of the clients asked that may be suspicious themselves
)

// suspicious says whether a client is a suspect by what it sent: two flagged names or more, and more than client.min-share of all.
// It is no more than that, and blocks nobody; it tells a client that follows a link from one odd site from one that
// sends such names again and again.
func (p *Policy) suspicious(c *evidence.Client) bool {
	if c == nil {
		return false
	}
	flagged := 0
	for _, it := range c.Names.Items() {
		if p.flags(it.Domain(), it.Tail) {
			flagged++
		}
	}
	return flagged >= 2 && p.mostly(flagged, len(c.Names.Items()))
}

// suspects counts the networks of a name whose client is suspicious or part of an attack, of those in the sample that know
// their client.
func (p *Policy) suspects(st *evidence.State, n *evidence.Name, attacked func(*evidence.Client) bool) (suspects, asked int) {
	for _, network := range n.Networks.Items() {
		if prefix := network.Client(); prefix.IsValid() {
			asked++
			if c := st.Client(prefix.Addr()); p.suspicious(c) || c != nil && attacked != nil && attacked(c) {
				suspects++
			}
		}
	}
	return suspects, asked
}

// crowd says whether a name is an audience's: many networks sent it, with many kinds of agents, at several hours, and hardly
// any of their clients has anything else against it. The names of an advertising network look generated and are sent by
// everybody; generated names are sent by those that send nothing else.
func (p *Policy) crowd(st *evidence.State, n *evidence.Name) bool {
	if n == nil || p.cfg.Name.Crowd == 0 || p.says(n.Domain) == SaysDGA || n.Networks.Distinct() < p.cfg.Name.Crowd ||
		n.Agents.Distinct() < crowdAgents || n.Hours.Active() < crowdHours {
		return false
	}
	suspects, asked := p.suspects(st, n, nil)
	return asked >= minCrowd && float64(suspects) <= crowdSuspects*float64(asked)
}
