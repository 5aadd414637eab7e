package timing

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"time"
)

// What a detector has learnt of a key outlives the process, if somebody keeps it: how long its mail usually takes, and what stands against it
// (stood.go). What is only suspected, and the mail that others are compared with, is of the last hours, and is found again.

// A Row is what was learnt of a sending IP at a provider. Data is this package's own.
type Row struct {
	IP, Provider string
	Seen         time.Time // when its last mail was
	Data         []byte
}

// rowVersion is the first octet of Data. What begins with another one is another kanmon's.
const rowVersion = '1'

// A memo is Data behind its version: what is kept of a key, and of its place.
type memo struct {
	Mails   uint32          `json:"mails"`
	Taught  int64           `json:"taught"` // Unix seconds
	Beside  []float32       `json:"beside"`
	Learnt  []uint16        `json:"learnt"`
	Tenants []once          `json:"tenants,omitempty"`
	Hosts   []visit         `json:"hosts,omitempty"`
	Place   inCommon        `json:"place"`
	Stands  json.RawMessage `json:"stands,omitempty"` // read apart: what makes no sense there is no reason to forget the rest
}

type once struct {
	Name string  `json:"name"`
	N    float32 `json:"n"`
}

type visit struct {
	Name string `json:"name"`
	Last int64  `json:"last,omitempty"` // Unix seconds; 0: no connection was new there
}

// An inCommon is what is kept of a place.
type inCommon struct {
	Base   []float32    `json:"base"`
	Based  []uint16     `json:"based"`
	Tail   [][3]float32 `json:"tail"`
	Known  []uint16     `json:"known"`
	Sized  []float32    `json:"sized"`
	Turned float32      `json:"turned"`
}

// Export gives what was learnt of all keys that have a history, at providers that have had mail since a time: how an IP lies to the others there
// may have moved with theirs.
func (d *Detector) Export(since time.Time) (rows []Row) {
	late := since.Sub(d.began).Seconds()
	for _, k := range d.order {
		if k.hasHistory() && k.place.heard(late) {
			rows = d.row(rows, k, nil)
		}
	}
	return rows
}

// heard reports whether any mail has come since a time.
func (p *place) heard(since float64) bool {
	return slices.ContainsFunc(p.keys, func(o *key) bool { return o.seen >= since })
}

func (d *Detector) row(rows []Row, k *key, stands json.RawMessage) []Row {
	data := d.remember(k, stands)
	if data == nil {
		return rows
	}
	return append(rows, Row{IP: k.ip, Provider: k.place.name, Seen: d.timeOf(k.seen), Data: data})
}

// Knows reports whether there is anything to be kept of an IP at a provider.
func (d *Detector) Knows(ip, provider string) bool {
	k := d.keys[pair{ip, provider}]
	return k != nil && (k.hasHistory() || k.place.stands())
}

func (k *key) hasHistory() bool {
	return slices.ContainsFunc(k.learnt[:], func(n uint16) bool { return n >= needHistory })
}

func (d *Detector) remember(k *key, stands json.RawMessage) []byte {
	p := k.place
	m := memo{
		Stands: stands,
		Mails:  k.mails, Taught: d.second(k.taught), Beside: k.beside[:], Learnt: k.learnt[:],
		Place: inCommon{Base: p.base[:], Based: p.based[:], Tail: p.tail[:], Known: p.known[:], Sized: p.sized[:], Turned: p.turned},
	}
	for i := range k.tenants {
		if t := &k.tenants[i]; t.n > 0 {
			m.Tenants = append(m.Tenants, once{t.name, t.n})
		}
	}
	for i := range k.hosts {
		v := visit{Name: k.hosts[i].name}
		if k.hosts[i].last != 0 {
			v.Last = d.second(k.hosts[i].last)
		}
		m.Hosts = append(m.Hosts, v)
	}
	data, err := json.Marshal(&m)
	if err != nil { // a number that is none: nothing is better than that
		return nil
	}
	return append([]byte{rowVersion}, data...)
}

// Import takes over what Export has given, now, at the beginning of a detector, and nothing of what stood. It gives how many rows make no sense; those
// are left out, as are the oldest where there is no room.
func (d *Detector) Import(now time.Time, rows []Row) (senseless int) {
	return d.imports(now, rows, func(*key, *memo) bool { return true })
}

// imports takes rows over, each of which it has somebody have a look at: false: a part of it makes no sense, and was left out.
func (d *Detector) imports(now time.Time, rows []Row, look func(*key, *memo) bool) (senseless int) {
	d.began = now
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.IP, b.IP)) })
	for i := range rows {
		r := &rows[i]
		m, ok := r.memo()
		switch {
		case !ok || d.keys[pair{r.IP, r.Provider}] != nil:
			senseless++
		case len(d.keys) < d.room:
			if k := d.recall(r, m); !look(k, m) {
				senseless++
			}
		}
	}
	return senseless
}

// memo reads a row.
func (r *Row) memo() (m *memo, ok bool) {
	if r.IP == "" || r.Provider == "" || len(r.Data) == 0 || r.Data[0] != rowVersion {
		return nil, false
	}
	m = new(memo)
	if err := json.Unmarshal(r.Data[1:], m); err != nil {
		return nil, false
	}
	c := &m.Place
	ok = len(m.Beside) == int(Phases) && len(m.Learnt) == int(Phases) && len(m.Tenants) <= len(key{}.tenants) && len(m.Hosts) <= hostsMost &&
		len(c.Base) == int(Phases) && len(c.Based) == int(Phases) && len(c.Tail) == int(Phases) && len(c.Known) == int(Phases) && len(c.Sized) == sizes &&
		sane(m.Beside) && sane(c.Base) && sane(c.Sized) && c.Turned >= 0 && c.Turned <= 1
	for _, t := range m.Tenants {
		ok = ok && t.N > 0 && t.N <= mostOfTenant
	}
	for _, q := range c.Tail {
		ok = ok && q[0] >= minSpread && q[0] <= q[1] && q[1] <= q[2] && q[2] <= mostSpread
	}
	return m, ok
}

const (
	mostOfTenant = 1e4
	mostSpread   = 6
	mostLog      = 30 // of a logarithm of seconds, either way
)

func sane(logarithms []float32) bool {
	return !slices.ContainsFunc(logarithms, func(x float32) bool { return math.Abs(float64(x)) >= mostLog })
}

// recall makes a key of a row. Of a place the newest row counts.
func (d *Detector) recall(r *Row, m *memo) *key {
	known := d.places[r.Provider] != nil
	k := d.keyOf(r.IP, r.Provider)
	k.seen, k.mails, k.taught = d.ago(r.Seen), m.Mails, d.ago(time.Unix(m.Taught, 0))
	copy(k.beside[:], m.Beside)
	copy(k.learnt[:], m.Learnt)
	for i, t := range m.Tenants {
		k.tenants[i] = named{t.Name, hash(t.Name), t.N}
	}
	for _, v := range m.Hosts {
		h := met{name: v.Name, hash: hash(v.Name)}
		if v.Last != 0 {
			h.last = d.ago(time.Unix(v.Last, 0))
		}
		k.hosts = append(k.hosts, h)
	}
	if known {
		return k
	}
	p, c := k.place, &m.Place
	copy(p.base[:], c.Base)
	copy(p.based[:], c.Based)
	copy(p.tail[:], c.Tail)
	copy(p.known[:], c.Known)
	copy(p.sized[:], c.Sized)
	p.turned = c.Turned
	return k
}

// second is a time of this detector in Unix seconds.
func (d *Detector) second(at float64) int64 { return d.timeOf(at).Round(time.Second).Unix() }

// ago is a time of the process before, as this detector counts: less than 0, which stands for never.
func (d *Detector) ago(t time.Time) float64 { return min(-.001, t.Sub(d.began).Seconds()) }
