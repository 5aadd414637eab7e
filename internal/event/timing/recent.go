package timing

// What was compared of a key's last mails is kept in three lots, by what mails have in common: on a connection that is used again there is no
// opening, and few bodies are so large that a window shows in them. What counts of a phase are the last mails that tell of it, not
// the few that do among the last.
const (
	opening = iota // dial, banner, hello
	talk           // from MAIL to the dot, without the body
	body
	lots
)

// inLot says in which lot a phase is, and where in its mails.
var inLot = [Phases]struct{ lot, at uint8 }{
	Dial: {opening, 0}, Banner: {opening, 1}, Hello: {opening, 2},
	Mail: {talk, 0}, Rcpt: {talk, 1}, Data: {talk, 2}, Dot: {talk, 3},
	Write: {body, 0},
}

// silence tells of no phase.
var silence = [4]int8{noByte, noByte, noByte, noByte}

// inLot gives what a mail tells of the phases of a lot, if it does of any.
func (m *mail) inLot(lot int) (r [4]int8, ok bool) {
	r = silence
	for f, in := range inLot {
		if int(in.lot) == lot && present(m.r[f]) {
			r[in.at], ok = toByte(m.r[f]), true
		}
	}
	return r, ok
}

const latelyMost = 14

// lately is the last mails of a lot.
type lately struct {
	of      [latelyMost]brief
	n, next uint8
}

// A brief is what is kept of a mail of the key that has been weighed.
type brief struct {
	r    [4]int8 // by phase of its lot
	gap  uint8   // since the key's mail before it: eighths of an octave of seconds
	tag  uint8   // of the tenant: an octet of its hash
	host uint8
}

func (k *key) note(m *mail, says *[Phases]said) {
	var had [lots]bool
	var b [lots]brief
	for i := range b {
		b[i] = brief{r: silence, gap: gapByte(m.gap), tag: uint8(m.tenant), host: m.where}
	}
	for f, in := range inLot {
		if present(says[f].odd) {
			had[in.lot] = true
			b[in.lot].r[in.at] = toByte(says[f].odd)
		}
	}
	for i := range b {
		if had[i] {
			k.recent[i].add(&b[i])
		}
	}
}

func (l *lately) add(b *brief) {
	l.of[l.next] = *b
	l.next = (l.next + 1) % latelyMost
	l.n = min(l.n+1, latelyMost)
}

// telling is the last mails that may tell of a phase, in no order, and from where on they are slow.
type telling struct {
	of   []brief
	at   uint8
	from float32
}

func (k *key) last(f Phase) telling {
	l := &k.recent[inLot[f].lot]
	return telling{l.of[:l.n], inLot[f].at, k.place.tail[f][0]}
}

// r gives how much slower than others a mail was; NaN: it had no such phase.
func (t *telling) r(i int) float32 { return fromByte(t.of[i].r[t.at]) }

// slow reports whether a mail was.
func (t *telling) slow(i int) bool {
	r := t.r(i)
	return present(r) && r > t.from
}

// counts are of the recent mail of a key: which was slow in a phase, by how much, and at which of its hosts.
type counts struct {
	slow, fast     int
	typical        float64 // of the slow, above the usual, in logarithms
	slowAt, fastAt [hostsMost]int
}

func (k *key) recently(f Phase) (c counts) {
	var slow [latelyMost]float32
	last := k.last(f)
	for i := range last.of {
		r, host := last.r(i), last.of[i].host
		switch {
		case !present(r):
		case r > max(.4, last.from):
			slow[c.slow] = r
			c.slow++
			c.slowAt[host]++
		default:
			c.fastAt[host]++
			c.fast++
		}
	}
	if c.slow > 0 {
		c.typical = float64(median(slow[:c.slow]))
	}
	return c
}

// slowest gives the tenant most of the recent slow mail is of, and whether that is a third of it at most.
func (t *telling) slowest() (tag uint8, many bool) {
	best, n := 0, 0
	for i := range t.of {
		if !t.slow(i) {
			continue
		}
		n++
		same := 0
		for j := range t.of {
			if t.of[j].tag == t.of[i].tag && t.slow(j) {
				same++
			}
		}
		if same > best {
			best, tag = same, t.of[i].tag
		}
	}
	return tag, 3*best <= n && n >= leastSlow+2
}

// slowWithout reports whether the recent mail of other tenants than one was slow at least half as often as that one's.
func (t *telling) slowWithout(tag uint8) bool {
	var n, slow [2]int
	for i := range t.of {
		if !present(t.r(i)) {
			continue
		}
		other := 0
		if t.of[i].tag != tag {
			other = 1
		}
		n[other]++
		if t.slow(i) {
			slow[other]++
		}
	}
	return slow[1] >= 2 && 2*slow[1]*n[0] >= slow[0]*n[1]
}
