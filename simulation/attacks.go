package simulation

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Attack is one kind of attack against a site that people of the international audience read at the same time.
type Attack struct {
	Name  string
	About string
	// send draws its requests, from noon on. names are the attacker's: of one family.
	send func(d *day, names []Scored)
}

const (
	noon       = 12 * time.Hour
	attackTick = 10 * time.Second
	peopleBy   = 5000 // clients of people, by the side of each attack
)

// Attacks are the attacks played.
func Attacks() []Attack {
	return []Attack{
		{"many names, few clients", "20 clients, each with 50 names of the family, a request in 10 s", func(d *day, names []Scored) {
			for id := range 20 {
				client := d.address(90, 200)
				for i := range 50 {
					d.send(bot, id, d.one(names), client, uint32(100+id%4), 7, noon+time.Duration(i)*10*time.Second)
				}
			}
		}},
		{"few names, many clients", "200 clients, each sends the same 12 names, a request a minute", func(d *day, names []Scored) {
			few := make([]*Scored, 12)
			for i := range few {
				few[i] = d.one(names)
			}
			for id := range 200 {
				client := d.address(90, 2000)
				for i := range 24 {
					d.send(bot, id, few[d.IntN(len(few))], client, uint32(100+d.IntN(10)), 7, noon+time.Duration(i)*time.Minute+d.within(0, time.Minute))
				}
			}
		}},
		{"one name, many clients", "500 clients, one name, one request each", func(d *day, names []Scored) {
			n := d.one(names)
			for id := range 500 {
				d.send(bot, id, n, d.address(90, 5000), uint32(100+d.IntN(3)), 7, d.within(noon, 10*time.Minute))
			}
		}},
		{"one request per client", "1,000 clients anywhere, one kind of agent, one path, a name of its own each", func(d *day, names []Scored) {
			for id := range 1000 {
				d.send(bot, id, d.one(names), d.address(90, 10_000), 100, 7, d.within(noon, 10*time.Minute))
			}
		}},
		{"one request per client, many agents", "the same, with the agents and paths of people", func(d *day, names []Scored) {
			for id := range 1000 {
				d.send(bot, id, d.one(names), d.address(90, 10_000), uint32(1+d.zipf(agents, 3)), uint32(1+d.zipf(paths, 2)), d.within(noon, 10*time.Minute))
			}
		}},
		{"flood of clients and names", "50,000 clients and as many names in 10 minutes, behind 20 clients as in the first row", func(d *day, names []Scored) {
			for id := range 20 {
				client := d.address(90, 200)
				for i := range 50 {
					d.send(bot, id, d.one(names), client, uint32(100+id%4), 7, noon+time.Duration(i)*10*time.Second)
				}
			}
			for range 50_000 {
				n := *d.one(names)
				n.Result.Domain = d.label() + ".com" // never seen before
				d.send(bot, -1, &n, d.address(120, 1<<20), d.Uint32()|1<<31, d.Uint32()|1<<31, d.within(noon, 10*time.Minute))
			}
		}},
	}
}

func (d *day) one(names []Scored) *Scored { return &names[d.IntN(len(names))] }

func (d *day) label() string {
	b := make([]byte, 16)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz"[d.IntN(26)]
	}
	return string(b)
}

// Detection is what became of an attack by names of one group.
type Detection struct {
	Attack, About, Group string
	Runs                 int
	Clients              float64       // share of the attack's clients that became hits, mean over families
	Requests             float64       // share of its requests that would have met a block, mean over families
	Median               time.Duration // from its beginning to the first hit; 0: in most runs there was none
	RequestsUntil        int           // requests of the attack until then, median
	None                 int           // runs without a hit
	PeopleBlocked        int           // people's clients that became hits or met one, in all runs
	People               int
}

type outcome struct {
	clients, requests float64
	first             time.Duration
	until             int
	none              bool
	blocked           int
}

// Detect plays each attack with names of each family, and averages over the families of a group.
func Detect(ctx context.Context, w World, s Settings, progress func(done, total int)) ([]Detection, error) {
	attacks := Attacks()
	type job struct{ attack, group, family, run int }
	var jobs []job
	for a := range attacks {
		for g := range w.Groups {
			n := len(w.Groups[g].Families)
			for k := range min(n, s.Families) { // spread over the list, whatever order it has
				for r := range s.Runs {
					jobs = append(jobs, job{a, g, k * n / min(n, s.Families), r})
				}
			}
		}
	}
	outcomes := make([]outcome, len(jobs))
	err := parallel(ctx, len(jobs), func(i int) {
		j := jobs[i]
		d := newDay(s, 1<<32|uint64(i))
		d.people(w, &audiences[0], peopleBy)
		// People of the hours around the attack: what was before is in no evidence that counts, what comes after is not judged.
		d.events = slices.DeleteFunc(d.events, func(e event) bool {
			at := time.Unix(0, e.Time).Sub(start)
			return at < noon-4*time.Hour || at > noon+time.Hour
		})
		attacks[j.attack].send(d, w.Groups[j.group].Families[j.family].Names)
		outcomes[i] = d.attacked()
	}, progress)
	if err != nil {
		return nil, err
	}
	var all []Detection
	for a := range attacks {
		for g := range w.Groups {
			out := Detection{Attack: attacks[a].Name, About: attacks[a].About, Group: w.Groups[g].Name}
			var firsts []time.Duration
			var untils []int
			for i, j := range jobs {
				if j.attack != a || j.group != g {
					continue
				}
				o := outcomes[i]
				out.Runs++
				out.Clients += o.clients
				out.Requests += o.requests
				out.People += peopleBy
				out.PeopleBlocked += o.blocked
				if o.none {
					out.None++
					continue
				}
				firsts, untils = append(firsts, o.first), append(untils, o.until)
			}
			if out.Runs == 0 {
				continue
			}
			out.Clients /= float64(out.Runs) // every family has as many runs
			out.Requests /= float64(out.Runs)
			if 2*out.None < out.Runs {
				slices.Sort(firsts)
				slices.Sort(untils)
				out.Median, out.RequestsUntil = firsts[len(firsts)/2], untils[len(untils)/2]
			}
			all = append(all, out)
		}
	}
	return all, nil
}

// attacked plays a day with an attack in it.
func (d *day) attacked() (o outcome) {
	bots, hit, people := map[netip.Addr]bool{}, 0, map[netip.Addr]bool{}
	requests, stopped := 0, 0
	o.none = true
	last := 0
	d.play(noon+attackTick, attackTick, func(e *event) {
		name, client := d.blocked(e)
		if e.kind != bot {
			people[e.Client] = people[e.Client] || name || client
			return
		}
		if n := d.hits.Len(); n > last && o.none {
			o.none, o.first, o.until = false, d.now.Sub(start.Add(noon)), requests
		}
		last = d.hits.Len()
		if e.id < 0 {
			return // the flood, which is to hide the others
		}
		requests++
		if name || client {
			stopped++
		}
		bots[e.Client] = true
	})
	if d.hits.Len() > last && o.none {
		o.none, o.first, o.until = false, d.now.Sub(start.Add(noon)), requests
	}
	for _, h := range d.hits.All() {
		if !h.Client.IsValid() {
			continue
		}
		if bots[h.Client.Addr()] {
			hit++
		} else if _, is := people[h.Client.Addr()]; is {
			people[h.Client.Addr()] = true
		}
	}
	o.clients, o.requests = float64(hit)/float64(len(bots)), float64(stopped)/float64(requests)
	for _, was := range people {
		if was {
			o.blocked++
		}
	}
	return o
}

// Curve is the share of clients that are hits by their n-th distinct name, n from 1 on.
type Curve struct {
	Group  string
	Caught []float64
	Runs   int
}

const curveNames = 20

// Curves sends distinct names of a generator from one client, and asks after each whether it is a hit. Names are of one
// family, averaged over the families of each group; and, as the last curve of a group ("mixed"), each of another family: what the
// group's average recall means for one client.
func Curves(ctx context.Context, w World, s Settings, progress func(done, total int)) ([]Curve, error) {
	runs := 200 * s.Runs
	type job struct {
		group, family int // family -1: mixed
	}
	var jobs []job
	for g := range w.Groups {
		for f := range w.Groups[g].Families {
			jobs = append(jobs, job{g, f})
		}
		jobs = append(jobs, job{g, -1})
	}
	caught := make([][curveNames]float64, len(jobs))
	err := parallel(ctx, len(jobs), func(i int) {
		families := w.Groups[jobs[i].group].Families
		n := runs
		if jobs[i].family < 0 {
			n = 20 * runs
		}
		for run := range n {
			d := newDay(s, 2<<32|uint64(i)<<16|uint64(run))
			client := d.address(90, 1000)
			for k := range curveNames {
				family := jobs[i].family
				if family < 0 {
					family = d.IntN(len(families))
				}
				// A request in two seconds; should a name come twice it is one name, as it would be.
				d.send(bot, 0, d.one(families[family].Names), client, 1, 1, time.Duration(2*k)*time.Second)
				d.st.Add(d.events[k].Sighting)
				d.decide(start.Add(time.Duration(2*k+1) * time.Second))
				if d.hits.Len() > 0 {
					for ; k < curveNames; k++ {
						caught[i][k] += 1 / float64(n)
					}
					break
				}
			}
		}
	}, progress)
	if err != nil {
		return nil, err
	}
	var all []Curve
	for g, group := range w.Groups {
		mean := Curve{Group: group.Name, Caught: make([]float64, curveNames)}
		for i, j := range jobs {
			switch {
			case j.group != g:
			case j.family < 0:
				all = append(all, mean, Curve{Group: group.Name + ", mixed", Caught: slices.Clone(caught[i][:]), Runs: 20 * runs})
			default:
				mean.Runs += runs
				for k, c := range caught[i] {
					mean.Caught[k] += c / float64(len(group.Families))
				}
			}
		}
	}
	return all, nil
}

// Poisoning is what became of somebody's name that an attacker sends.
type Poisoning struct {
	About          string
	Names          int
	Blocked        int
	Readers        int // clients of people that sent them
	ReadersBlocked int // of these, those that became hits
}

// Poison has, on one site for each victim, 500 bots, which send generated names too and so are suspects, send a name of people 20 times each.
func Poison(ctx context.Context, w World, s Settings, progress func(done, total int)) (poisonings []Poisoning, err error) {
	var clean []Source
	for _, p := range w.People {
		if p.Name == "benign_stable_multi_year" || p.Name == "benign_tail_com_net_org" {
			clean = append(clean, p)
		}
	}
	flagged := func(n Scored) bool { return !n.Exempt && !n.Result.Abstain && n.Result.Tail <= s.Policy.Threshold() }
	pick := func(from []Source, want bool, most int) (names []Scored) {
		for _, p := range from {
			for _, n := range p.Names {
				if flagged(n) == want && len(names) < most {
					names = append(names, n)
				}
			}
		}
		return names
	}
	play := func(about string, victims []Scored, readers int, seed uint64) Poisoning {
		out := Poisoning{About: about, Names: len(victims)}
		outcomes := make([]Poisoning, len(victims))
		err = errors.Join(err, parallel(ctx, len(victims), func(i int) {
			outcomes[i] = poisoned(w, s, &victims[i], readers, 3<<32|seed<<16|uint64(i))
		}, progress))
		for _, o := range outcomes {
			out.Blocked += o.Blocked
			out.Readers += o.Readers
			out.ReadersBlocked += o.ReadersBlocked
		}
		return out
	}
	all := []Poisoning{
		play("names that the model does not flag", pick(clean, false, 50), 100, 1),
		play("names that it flags by mistake, with 100 readers a day", pick(w.People, true, 50), 100, 2),
		play("names that it flags by mistake, which nobody else sends", pick(w.People, true, 50), 0, 3),
	}
	return all, err
}

// poisoned plays a day on which bots send one victim's name.
func poisoned(w World, s Settings, victim *Scored, readers int, seed uint64) (out Poisoning) {
	d := newDay(s, seed)
	d.people(w, &audiences[0], peopleBy)
	families := w.Groups[0].Families
	for id := range 500 {
		client := d.address(90, 5000)
		for range 8 {
			d.send(bot, id, d.one(families[d.IntN(len(families))].Names), client, 100, 7, d.within(noon, time.Hour))
		}
		for range 20 {
			d.send(bot, id, victim, client, 100, 7, d.within(noon, time.Hour))
		}
	}
	for range readers {
		d.send(visitor, -1, victim, d.address(20, 10_000), uint32(1+d.zipf(agents, 3)), 1, d.within(hours(6), hours(10)))
	}
	people := map[netip.Addr]bool{}
	d.play(tick, tick, func(e *event) {
		if e.id < 0 {
			people[e.Client] = true
		}
	})
	for client := range people {
		if _, is := d.hits.Client(client); is {
			out.ReadersBlocked++
		}
	}
	out.Readers = len(people)
	if _, is := d.hits.Name(victim.Result.Domain); is {
		out.Blocked++
	}
	return out
}
