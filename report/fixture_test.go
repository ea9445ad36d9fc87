package report

import (
	"math"
	"time"

	"referee/policy"
	"referee/waf"
)

var noon = time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// sample is a report with one of everything.
func sample() *Report {
	const hour = time.Hour
	return &Report{
		Generated: noon, Since: ago(7 * 24 * hour), Mode: Shadow,
		Settings: Settings{
			Model: "0a1b2c3d4e5f", Scorer: "n-gram regression", Calibrated: 212000, Policy: "aabbccddeeff",
			Confidence: "balanced", BenignTail: 1e-4, Score: 7.25, OneIn: 10000,
		},
		Totals: Totals{
			First: ago(7 * 24 * hour), Hours: 168, Requests: 1234567,
			Verdicts: map[string]uint64{"dga": 1871, "benign": 800123, "abstain": 12000, "exempt": 400000, "invalid": 20573},
			NoName:   map[string]uint64{"empty": 20000, "relative": 500, "scheme": 60, "malformed": 13, "address": 0, "nonpublic": 0},
			Saved:    map[string]uint64{"own": 0, "listed": 0, "closed-registry": 3, "popular": 240},
			Dropped:  12, FlaggedKept: 1871,
		},
		Names: Hits{Active: 2, Past: 1, List: []Hit{
			{
				Name: "kq3v9zx7wq.com", State: Active, Why: "score 11.20, at most 1 in 210,000 benign names scores so high", Decided: ago(30 * hour),
				Reasons: []string{"score 11.20, at most 1 in 210,000 benign names scores so high", "seen 412 times from about 88 networks in 30 h"},
				Score:   11.2, BenignTail: 4.7e-6, OneIn: 210000, Sightings: 412, Networks: 88, Rank: 900.5,
				First: ago(30 * hour), Last: ago(hour), Expires: ago(hour).Add(7 * 24 * hour), Model: "0a1b2c3d4e5f", Policy: "aabbccddeeff",
				Label:       policy.SaysDGA,
				Explanation: &Explanation{Form: "random", Parts: []Part{{`contains "zx7"`, 2.31}, {"few vowels", 1.4}, {`ends with "wq"`, -0.2}}},
				Examples: []Example{{
					Time: ago(hour), Name: "kq3v9zx7wq.com", Client: "203.0.113.7", Referer: "https://kq3v9zx7wq.com/?q=1", Agent: "Mozilla/5.0", Path: "/login",
				}},
			},
			{
				Name: "xjwqpvzkrt.biz", State: Active, Why: "seen again", Decided: ago(2 * hour),
				Reasons: []string{"score 8.31, at most 1 in 23,000 benign names scores so high", "seen 12 times from 4 networks in 2 h"},
				Score:   8.31, BenignTail: 4.3e-5, OneIn: 23000, Sightings: 12, Networks: 4, Rank: 17.5,
				First: ago(4 * hour), Last: ago(2 * hour), Expires: ago(2 * hour).Add(7 * 24 * hour), Model: "0a1b2c3d4e5f", Policy: "aabbccddeeff",
			},
			{
				Name: "wzfqxnbl.net", State: Released, Why: "now exempt: it is on your never-block list, or holds what is", Decided: ago(5 * hour),
				Reasons: []string{"score 7.90, at most 1 in 15,000 benign names scores so high"},
				Score:   7.9, BenignTail: 6.6e-5, OneIn: 15000, Sightings: 9, Networks: 3, Rank: 12,
				First: ago(50 * hour), Last: ago(40 * hour), Expires: ago(40 * hour).Add(7 * 24 * hour), Model: "0a1b2c3d4e5f", Policy: "aabbccddeeff",
			},
		}},
		Clients: Hits{Active: 1, Past: 0, LeftOut: 0, List: []Hit{{
			Client: "2001:db8:1:2::/64", State: Active, Why: "flagged: 14 of its 15 distinct external names", Decided: ago(3 * hour),
			Reasons: []string{
				"flagged: 14 of its 15 distinct external names",
				"kq3v9zx7wq.com: score 11.20, at most 1 in 210,000 benign names scores so high", "31 flagged requests in 3 h",
			},
			FlaggedNames: []string{"kq3v9zx7wq.com", "xjwqpvzkrt.biz"},
			Score:        11.2, BenignTail: 4.7e-6, OneIn: 210000, Sightings: 31, Flagged: 14, Distinct: 15, Rank: 70,
			First: ago(6 * hour), Last: ago(3 * hour), Expires: ago(3 * hour).Add(24 * hour), Model: "0a1b2c3d4e5f", Policy: "aabbccddeeff",
		}}},
		Saved: Saved{Names: 2, List: []SavedName{
			{
				Name: "s3xqzcdn.net", Exemption: "popular", Score: 9.1, BenignTail: 2e-5, OneIn: 50000, Sightings: 240,
				First: ago(160 * hour), Last: ago(hour),
			},
			{
				Name: "wvdmvhwy.gov", Exemption: "closed-registry", Score: 7.4, BenignTail: 9.1e-5, OneIn: 10000, Sightings: 3,
				First: ago(60 * hour), Last: ago(50 * hour),
			},
		}},
		Sets: []Set{
			{
				Set: waf.SetNames, Generation: 41, Time: ago(2 * hour), Outcome: waf.Shadow, Entries: 2, Items: 1,
				Sample: []string{`^https?://(?:[^/?#]*[.@])?(?:kq3v9zx7wq\.com|xjwqpvzkrt\.biz)\.?(?:[:/?#]|$)`},
			},
			{Set: waf.SetIPv6, Generation: 40, Time: ago(3 * hour), Outcome: waf.Shadow, Entries: 1, Items: 1, Sample: []string{"2001:db8:1:2::/64"}},
		},
		Labels: Labels{Names: 3, List: []Label{
			{Name: "wzfqxnbl.net", Label: policy.SaysBenign, Time: ago(5 * hour), Who: "alice", Reason: "a partner's tracker"},
			{Name: "bakkerij-x.nl", Label: policy.SaysDGA, Time: ago(6 * hour), Who: "root"},
			{Name: "google.com", Label: policy.SaysDGA, Time: ago(7 * hour), Who: "root", Reason: "a mistake", Exemption: "popular"},
		}},
		Candidates: []Comparison{{
			Live: "0a1b2c3d4e5f", Candidate: "f0e1d2c3b4a5", First: ago(30 * hour), Last: ago(hour),
			Names: Flagged{Both: 41, Neither: 12345, Candidate: 2, Live: 1}, Requests: Flagged{Both: 1500, Neither: 700000, Candidate: 31, Live: 9},
			Skipped: 4,
			New: DifferingNames{Names: 2, LeftOut: 1, List: []DifferingName{{
				Name: "qpwzmxnc.info", Score: 5.1, BenignTail: 8.2e-4, OneIn: 1200, CandidateScore: 8.8, CandidateTail: 2.1e-5, CandidateOneIn: 47000,
				Sightings: 27, First: ago(20 * hour), Last: ago(2 * hour),
			}}},
			Lost: DifferingNames{Names: 1, List: []DifferingName{{
				Name: "d1a2b3c4cdn.net", Score: 7.7, BenignTail: 7.1e-5, OneIn: 14000, CandidateScore: 2, CandidateTail: 0.012, CandidateOneIn: 83,
				Sightings: 9, First: ago(29 * hour), Last: ago(3 * hour),
			}}},
		}},
		Ready: Readiness{
			Answer: "Not ready to enforce: 1 check does not pass: days observed.",
			Checks: []Check{
				{
					ID: "days", Title: "days observed", State: Fail, Required: true, Value: "3 days with traffic", Rule: "7 days or more of the last 30",
					Note: "A week has its rhythm; what a weekend brings is not known before one.",
				},
				{ID: "model-age", Title: "age of the model", State: Unknown, Value: "it does not say when it was made", Rule: "at most 180 days"},
				{ID: "saves", Title: "never-block saves", State: Pass, Required: true, Value: "2 names, 243 requests", Rule: "every name that was spared is exempt still"},
			},
		},
		WhatIf: WhatIf{
			Window: 24, Clients: 41234, Names: 9876, Requests: 612345, Rows: []Row{
				{
					Confidence: "sensitive", BenignTail: 1e-3, Evidence: "today", Rules: "name: 2 networks, 3 requests; client: 3 flagged names", Names: 7, Clients: 3,
					Requests: 2345, Share: 0.0038, ByChance: 9.9, Unconfirmed: 10, FalseClients: newRate(3, 41234),
					Capacity: []waf.Fill{{Set: waf.SetNames, Entries: 7, Items: 1, Room: 10}}, CapacityUsed: 0.1,
				},
				{
					Confidence: "balanced", BenignTail: 1e-4, Evidence: "today", Rules: "name: 2 networks, 3 requests; client: 3 flagged names", Today: true,
					Names: 2, Clients: 1, Requests: 455, Share: 0.00074, ByChance: 0.99, Unconfirmed: 3, FalseClients: newRate(1, 41234),
					Capacity: []waf.Fill{{Set: waf.SetNames, Entries: 2, Items: 1, Room: 10}}, CapacityUsed: 0.1, CapacityShort: 2,
				},
			},
		},
		Attacks: Attacks{List: []Attack{{
			Network: "198.51.100.0/24", Clients: 41, Flagged: 38, Distinct: 40, Sightings: 52, Names: []string{"kq3v9z7xw.com", "pqzwxkvj.top"},
			What:  "41 clients of 198.51.100.0/24, with one kind of agent on one path, sent 40 distinct external names, of which 38 are flagged",
			First: ago(5 * hour), Last: ago(hour),
		}}},
		Near: Near{Names: 1, Clients: 1, List: []NearMiss{
			{
				Client: "203.0.113.9/32", Rule: "client.min-flagged", Why: "it sent 2 flagged names, 3 are asked for", BenignTail: 9e-5, OneIn: 11000,
				Sightings: 12, Last: ago(2 * hour),
			},
			{
				Name: "pqzwxkvj.top", Rule: "name.min-networks", Why: "it came from 1 of the 2 networks asked for", BenignTail: 8e-5, OneIn: 12000,
				Sightings: 40, Last: ago(hour),
			},
		}},
		Series: sampleSeries(),
		Spared: []Spared{{Client: "198.51.100.99/32", Time: ago(9 * hour), Why: "spared: a verified session spoke for it 3 min ago"}},
		Orders: []Order{{ID: 7, Time: ago(20 * hour), Verb: "unblock", Values: []string{"wzfqxnbl.net"}, Until: ago(0), Why: "a partner"}},
		Alerts: []Alert{
			{ago(hour), "breaker", "the set of names is left alone: AccessDeniedException"},
			{ago(5 * hour), "attack", "attack: 2 names and 1 client are new hits, 3 are active now (shadow mode: nothing is blocked)"},
		},
		Troubles: []Trouble{{Set: "names", Since: ago(hour), Class: "denied", Error: "AccessDeniedException: wafv2:UpdateRegexPatternSet"}},
		Generations: []Generation{
			{
				ID: 41, Time: ago(2 * hour), Set: waf.SetNames, Outcome: waf.Shadow, Why: "1 added", Items: 1, Added: 1, Removed: 1,
				Model: "0a1b2c3d4e5f", Policy: "aabbccddeeff",
			},
			{ID: 40, Time: ago(3 * hour), Set: waf.SetIPv6, Outcome: waf.Shadow, Why: "1 added", Items: 1, Added: 1, Model: "0a1b2c3d4e5f", Policy: "aabbccddeeff"},
			{
				ID: 39, Time: ago(30 * hour), Set: waf.SetNames, Outcome: waf.Failed, Error: "WAFUnavailableEntityException: try again", Why: "1 added",
				Items: 1, Added: 1, Model: "0a1b2c3d4e5f", Policy: "aabbccddeeff",
			},
		},
	}
}

// sampleSeries is a week by the hour, with an attack at its end.
func sampleSeries() Series {
	s := Series{
		Step: 1, Names: []Top{{"kq3v9zx7wq.com", 412}, {"xjwqpvzkrt.biz", 12}}, Networks: []Top{{"2001:db8:1::/48", 31}},
		Capacity: []Capacity{
			{Set: waf.SetNames, Time: ago(30 * time.Hour), Items: 1, Room: 10},
			{Set: waf.SetNames, Time: ago(2 * time.Hour), Items: 2, Room: 10},
			{Set: waf.SetIPv6, Time: ago(3 * time.Hour), Items: 1, Room: 10000},
		},
	}
	for i := range 168 {
		p := Point{Start: ago(time.Duration(168-i) * time.Hour), Requests: uint64(5000 + 3000*((i+6)%24)/24)}
		if i > 130 {
			p.Flagged, p.Live, p.Candidate = uint64(i%17*5), uint64(i%17*5), uint64(i%17*6)
		}
		s.Points = append(s.Points, p)
	}
	for d, n := range []uint64{700000, 71000, 6900, 705, 1200, 600, 70, 0} {
		b := TailBin{From: math.Pow10(-d - 1), To: math.Pow10(-d), Requests: n}
		b.Expected = (b.To - b.From) * 780475
		s.Tails = append(s.Tails, b)
	}
	return s
}
