package timing

import "math"

// A key is one sending IP at one provider.
type key struct {
	ip     string
	place  *place
	source *source
	number uint16 // of the IP at the place

	seen   float64
	mails  uint32 // that have ended
	splits uint32 // how often it was asked whether to split, and to keep
	keeps  uint32

	beside [Phases]float32 // how its logarithms lie to those of the place: a median
	learnt [Phases]uint16  // values it rests on

	proof    [kinds]proof
	tenants  [4]named // whose evidence is kept apart
	hosts    []met    // hostsMost at most
	recent   [lots]lately
	credit   float32
	taught   float64         // when it last learnt
	piece    float64         // when mail last spoke against it
	held     *[heldMost]mail // that wait for mail of others to compare with; nil: none does
	holding  uint8
	waiting  *[4]told   // nil: nothing waits
	refusals [4]refusal // that wait for another IP to be let in
	refused  uint16     // that counted since there was evidence

	drip    float32
	drips   *dripping // what that rests on; nil: nothing has dripped yet
	split   [2]uint8  // split mails of the most suspicious tenant: fast, slow
	finding finding
}

// A proof is the evidence in one phase.
type proof struct {
	lnR [bettors]float32
	*claim
}

// A claim is what is kept beside evidence that is worth anything; nil where it is not.
type claim struct {
	begun float64             // when it left nothing
	mails uint32              // the key's, then
	parts [bettors][5]float32 // by tenant, the last is of all others
}

type named struct {
	name string
	hash uint32
	n    float32
}

type met struct {
	name string
	hash uint32
	last float64
}

// told are the phases of a mail of which its wait has told.
type told struct {
	id     uint64
	phases uint16
}

// A mail is what is compared.
type mail struct {
	at     float64
	gap    float32         // s since the key's mail before it
	r      [Phases]float32 // residual: logarithm less the key's usual one; NaN: absent
	id     uint64
	tenant uint32
	host   uint32
	number uint16
	who    uint8 // tenant's slot of the key
	where  uint8 // host's
	wait   bool
	class  uint8
	slowed float32 // by how much a slow window would make the dot longer, in logarithms
}

var nan = float32(math.NaN())

func present(x float32) bool { return x == x } //nolint:gocritic // not NaN

// floor is added to times before their logarithm is taken, in seconds: what is below tells nothing.
var floor = [Phases]float64{.1, .1, .1, .1, .1, .1, 1, .1}

const (
	coldFor   = 20 * 3600 // s without connection, after which the greeting may be a test
	coldTest  = 7         // s that such a test takes: postscreen's 6, and a little
	wideBody  = 96 << 10  // octets from which on writing is timed: 64 KiB of a body are the kernel's
	minuteOne = 60
	hostsMost = 8 // of a key that are told apart
	heldMost  = 4 // mails of a key that wait
)

// measure makes residuals of an observation.
func (k *key) measure(o *Observation, gap float64) mail {
	m := mail{at: k.seen, gap: float32(gap), id: o.ID, tenant: hash(o.Tenant), host: hash(o.Host), number: k.number, wait: o.Waits}
	k.count(o.Tenant, m.tenant)
	m.where = k.hostSlot(o.Host, m.host)
	class := sizeClass(o.Size)
	last := -1
	for f := range Phases {
		m.r[f] = nan
		x := o.Took[f]
		if x < 0 || o.BadRecipient && f >= Rcpt {
			continue
		}
		last = int(f)
		switch f {
		case Banner:
			if k.hosts[m.where].last == 0 || k.seen-k.hosts[m.where].last > coldFor {
				x = max(0, x-coldTest)
			}
		case Write:
			if o.Size < wideBody {
				continue
			}
			x /= float64(o.Size-(64<<10)) / 1e6
		case Dot:
			x += max(0, o.Took[Write])
		}
		y := float32(math.Log(x + floor[f]))
		if f == Dot {
			y -= k.place.sized[class]
		}
		if k.place.based[f] == 0 {
			k.place.base[f] = y
		}
		m.r[f] = y - k.usually(f)
	}
	if present(m.r[Dot]) {
		usual := math.Exp(float64(k.usually(Dot) + k.place.sized[class]))
		m.slowed = float32(math.Log(1 + float64(o.Size)/slowWindow/usual))
	}
	if o.Waits {
		for f := range Phases {
			if int(f) != last || present(m.r[f]) && m.r[f] < 0 {
				m.r[f] = nan // a wait says that it takes at least so long, and nothing before
			}
		}
	}
	if o.New {
		k.hosts[m.where].last = k.seen
	}
	k.skipTold(&m, o.Waits)
	m.class = uint8(class)
	return m
}

// slowWindow is a rate in octets a second that would be a restriction.
const slowWindow = 30e3

// sizeClass is by octaves above 4 KiB.
func sizeClass(size int) int {
	c := 0
	for s := size >> 12; s > 0 && c < sizes-1; s >>= 1 {
		c++
	}
	return c
}

// skipTold leaves out of a mail what its wait has told, and notes what a wait tells.
func (k *key) skipTold(m *mail, wait bool) {
	if k.waiting == nil {
		if !wait || m.id == 0 {
			return
		}
		k.waiting = new([4]told)
	}
	if m.id == 0 {
		return
	}
	free := 0
	for i := range k.waiting {
		if k.waiting[i].id == m.id {
			for f := range Phases {
				if k.waiting[i].phases>>f&1 == 1 {
					m.r[f] = nan
				}
			}
			free = i
			break
		}
		if k.waiting[i].id == 0 || k.waiting[i].id < k.waiting[free].id {
			free = i
		}
	}
	w := &k.waiting[free]
	switch {
	case !wait && w.id == m.id:
		*w = told{}
		if *k.waiting == [4]told{} {
			k.waiting = nil
		}
	case wait:
		if w.id != m.id {
			*w = told{id: m.id}
		}
		for f := range Phases {
			if present(m.r[f]) {
				w.phases |= 1 << f
			}
		}
	}
}

// count gives those tenants a slot that send most. Who has one keeps it while something is weighed: its evidence is in it.
func (k *key) count(name string, h uint32) {
	least := 0
	for i := range k.tenants {
		t := &k.tenants[i]
		if t.n > 0 && t.hash == h {
			t.n = min(t.n+1, 1e4)
			return
		}
		if t.n < k.tenants[least].n {
			least = i
		}
	}
	t := &k.tenants[least]
	if t.n -= .5; t.n < .5 && !k.weighs(1) {
		*t = named{name, h, 1}
	}
}

// slot gives where a tenant's evidence is kept: its own, or that of all others.
func (k *key) slot(h uint32) uint8 {
	for i := range k.tenants {
		if k.tenants[i].n > 0 && k.tenants[i].hash == h {
			return uint8(i)
		}
	}
	return uint8(len(k.tenants))
}

func (k *key) hostSlot(name string, h uint32) uint8 {
	old := 0
	for i := range k.hosts {
		if k.hosts[i].hash == h {
			return uint8(i)
		}
		if k.hosts[i].last < k.hosts[old].last {
			old = i
		}
	}
	if len(k.hosts) < hostsMost {
		k.hosts = append(k.hosts, met{name: name, hash: h})
		return uint8(len(k.hosts) - 1)
	}
	k.hosts[old] = met{name: name, hash: h}
	return uint8(old)
}

// weighs reports whether there is more evidence than so much in any phase.
func (k *key) weighs(more float32) bool {
	for f := range k.proof {
		if k.proof[f].weight() > more {
			return true
		}
	}
	return false
}

// stands gives the phases in which something stands against the key.
func (k *key) stands() (phases uint16) {
	for f := range k.proof {
		if k.proof[f].weight() >= suspicious {
			phases |= 1 << f
		}
	}
	return phases
}

// usually is the logarithm of the time that the key's mail usually takes in a phase.
func (k *key) usually(f Phase) float32 { return k.place.base[f] + k.beside[f] }
