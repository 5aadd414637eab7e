package postgres

import (
	"cmp"
	"slices"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// What counts are by.
const (
	ofAll = iota
	ofProviders
	ofTenants
)

// sums are what lines add to what is counted.
type sums struct {
	tallies  map[tallyKey]*tally
	accounts map[accountKey]*tally
	took     map[tookKey]*[len(history.Buckets) + 1]int64
	refusals map[refusedKey]*refusedSum
	shapes   map[int64]*shapeRow
	states   map[stateKey]int64
}

type tallyKey struct {
	Unit     int64  `json:"unit"`
	Of       int    `json:"of"`
	Day      day    `json:"day"`
	At       int64  `json:"at"`
	Tenant   string `json:"tenant"`
	Gateway  string `json:"gateway"`
	Provider string `json:"provider"`
	IP       string `json:"ip"`
	Outcome  string `json:"outcome"`
	Class    string `json:"class"`
}

type accountKey struct {
	Day     day    `json:"day"`
	Tenant  string `json:"tenant"`
	Account string `json:"account"`
	Gateway string `json:"gateway"`
	Outcome string `json:"outcome"`
	Class   string `json:"class"`
}

type tally struct {
	Attempts   int64 `json:"attempts"`
	First      int64 `json:"first"`
	Recipients int64 `json:"recipients"`
	Octets     int64 `json:"octets"`
	Rescued    int64 `json:"rescued"`
	TLS        int64 `json:"tls"`
}

func (t *tally) add(o tally) {
	t.Attempts += o.Attempts
	t.First += o.First
	t.Recipients += o.Recipients
	t.Octets += o.Octets
	t.Rescued += o.Rescued
	t.TLS += o.TLS
}

type tookKey struct {
	Unit     int64  `json:"unit"`
	Day      day    `json:"day"`
	At       int64  `json:"at"`
	Phase    string `json:"phase"`
	Provider string `json:"provider"`
	IP       string `json:"ip"`
}

type stateKey struct {
	Day day    `json:"day"`
	Key string `json:"key"`
}

func newSums() *sums {
	return &sums{
		tallies: map[tallyKey]*tally{}, accounts: map[accountKey]*tally{}, took: map[tookKey]*[len(history.Buckets) + 1]int64{},
		refusals: map[refusedKey]*refusedSum{}, shapes: map[int64]*shapeRow{}, states: map[stateKey]int64{},
	}
}

// more adds to what is counted of a day.
func (s *sums) more(d day, key string, n int64) { s.states[stateKey{d, key}] += n }

// count adds an attempt.
func (s *sums) count(r *row, joined bool) {
	a := r.attempt
	one := tally{Attempts: 1, Recipients: int64(len(a.Recipients) + a.More), Octets: a.Octets}
	if !joined {
		one.First = 1
	}
	if r.rescued {
		one.Rescued = 1
	}
	if a.TLS == "tls" {
		one.TLS = 1
	}
	ms := r.at - r.day.begin().UnixMilli()
	for _, unit := range index.Units {
		key := tallyKey{Unit: unit, Of: ofAll, Day: r.day, At: index.UnitOf(unit, ms), Gateway: r.run.gateway, Outcome: r.outcome, Class: r.class}
		addTo(s.tallies, key, one)
		key.Of, key.Provider, key.IP = ofProviders, r.provider, r.ip
		addTo(s.tallies, key, one)
		if unit != index.UnitFive {
			key.Of, key.Tenant = ofTenants, r.tenant
			addTo(s.tallies, key, one)
		}
	}
	if a.Account != "" {
		addTo(s.accounts, accountKey{r.day, r.tenant, name(a.Account), r.run.gateway, r.outcome, r.class}, one)
	}
	s.more(r.day, "attempts", 1)
}

func addTo[K comparable](all map[K]*tally, key K, one tally) {
	sum := all[key]
	if sum == nil {
		sum = new(tally)
		all[key] = sum
	}
	sum.add(one)
}

// times adds what the MX took.
func (s *sums) times(r *row) {
	if r.kind != index.Transactions && r.kind != index.Sessions {
		return
	}
	ms := r.at - r.day.begin().UnixMilli()
	for _, t := range history.Took(r.entry) {
		key := tookKey{Day: r.day, Phase: name(t.Phase), Provider: name(t.Provider)}
		if t.SendingIP.IsValid() {
			key.IP = t.SendingIP.String()
		}
		bucket, _ := slices.BinarySearch(history.Buckets[:], t.For.Seconds())
		for _, unit := range [...]int64{index.UnitFive, index.UnitHour} {
			key.Unit, key.At = unit, index.UnitOf(unit, ms)
			if s.took[key] == nil {
				s.took[key] = new([len(history.Buckets) + 1]int64)
			}
			s.took[key][bucket]++
		}
	}
}

const addTallies = ` DO UPDATE SET attempts = t.attempts + excluded.attempts, first = t.first + excluded.first, recipients = t.recipients + excluded.recipients,
	octets = t.octets + excluded.octets, rescued = t.rescued + excluded.rescued, tls = t.tls + excluded.tls`

// flush writes what has been added up.
func (w *writing) flush() error {
	type tallyRow struct {
		tallyKey
		tally
	}
	type accountRow struct {
		accountKey
		tally
	}
	type tookRow struct {
		tookKey
		Counts []int64 `json:"counts"`
	}
	type stateRow struct {
		stateKey
		Value int64 `json:"value"`
	}
	var tallies []tallyRow
	for k, t := range w.tallies {
		tallies = append(tallies, tallyRow{k, *t})
	}
	var accounts []accountRow
	for k, t := range w.accounts {
		accounts = append(accounts, accountRow{k, *t})
	}
	var took []tookRow
	for k, n := range w.took {
		took = append(took, tookRow{k, n[:]})
	}
	var states []stateRow
	for k, n := range w.states {
		states = append(states, stateRow{k, n})
	}
	return cmp.Or(
		w.put("INSERT INTO tally AS t SELECT * FROM json_populate_recordset(null::tally, $1) ON CONFLICT (unit, of, day, at, tenant, gateway, provider, ip, outcome, class)"+addTallies, tallies),
		w.put("INSERT INTO account AS t SELECT * FROM json_populate_recordset(null::account, $1) ON CONFLICT (day, tenant, account, gateway, outcome, class)"+addTallies, accounts),
		w.put(`INSERT INTO took AS t SELECT * FROM json_populate_recordset(null::took, $1) ON CONFLICT (unit, day, at, phase, provider, ip) DO UPDATE
			SET counts = (SELECT array_agg(a + b ORDER BY n) FROM unnest(t.counts, excluded.counts) WITH ORDINALITY AS c (a, b, n))`, took),
		w.put("INSERT INTO state AS t SELECT * FROM json_populate_recordset(null::state, $1) ON CONFLICT (day, key) DO UPDATE SET value = t.value + excluded.value", states),
		w.flushRefusals())
}
