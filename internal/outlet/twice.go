package outlet

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/who/share"
	"kanmon/internal/who/witness"
)

// A mail that two of our sending IPs are refused for in the same way is refused for what it is, whatever the words say: two IPs are hardly
// listed at once, and an MX that reads a list's name where it should not, or sends the words of somebody else, does so for both. So the
// second refusal ends the rescue, and its words are no more than a doubt (docs/engine.md, I19).

// A twice remembers what mails were refused for, and the words that were said of two sending IPs.
type twice struct {
	seed maphash.Seed

	mu    sync.Mutex
	mails *share.Map[uint64, []met]
	words *share.Map[saying, time.Time]
}

// A met is a refusal that blamed a sending IP.
type met struct {
	ip      netip.Addr
	message uint64
	part    string
	what    wording
	at      time.Time
}

// A wording is what was said: the rule that it fell under with the lists it named, and the words.
type wording struct {
	rule  string
	lists []string
	words uint64
}

// A saying is words of a provider, or of the part of it that has spoken.
type saying struct {
	who   string
	words uint64
}

const (
	mostMails = 10_000
	mostWords = 5_000
	mailKept  = time.Hour  // a mail is tried again within that; later another of the same people may be another matter
	wordsKept = refusedFor // while the tenants' sessions give way to other IPs because of them
	mostMet   = 8          // of one mail
)

func newTwice() *twice {
	return &twice{
		seed: maphash.MakeSeed(),
		mails: share.NewMap[uint64, []met](mostMails).Until(func(m []met) bool {
			return time.Since(m[len(m)-1].at) >= mailKept
		}),
		words: share.NewMap[saying, time.Time](mostWords).Until(func(at time.Time) bool { return time.Since(at) >= wordsKept }),
	}
}

func (w *wording) same(other *wording) bool {
	if w.words == other.words {
		return true
	}
	return w.rule != "" && w.rule == other.rule && (len(w.lists) == 0 && len(other.lists) == 0 ||
		slices.ContainsFunc(w.lists, func(l string) bool { return slices.Contains(other.lists, l) }))
}

// before returns the refusals that another sending IP has met, for the same mail and in the same way, and notes this one.
func (t *twice) before(mail uint64, m *met, tenant string) (same []met) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, _ := t.mails.Get(mail)
	known = slices.DeleteFunc(slices.Clone(known), func(old met) bool { return time.Since(old.at) >= mailKept })
	same = m.alike(known)
	if len(known) == mostMet {
		known = known[1:]
	}
	t.mails.Put(mail, append(known, *m), tenant)
	return same
}

// since returns those again, with what has come since it was noted.
func (t *twice) since(mail uint64, m *met) []met {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, _ := t.mails.Get(mail)
	return m.alike(known)
}

// alike returns those of another sending IP that were said in the same way.
func (m *met) alike(known []met) (same []met) {
	for i := range known {
		if known[i].ip != m.ip && known[i].what.same(&m.what) {
			same = append(same, known[i])
		}
	}
	return same
}

// doubted reports whether words were said of two sending IPs lately.
func (t *twice) doubted(s saying) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, known := t.words.Get(s)
	return known && time.Since(at) < wordsKept
}

func (t *twice) doubt(s saying, tenant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.words.Put(s, time.Now(), tenant)
}

// mail is what tells a mail from others, over the sessions in which it is tried: who sends it to whom. What is refused before that is known
// is the session's own.
func (t *twice) mail(p *plea) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	maphash.WriteComparable(&h, p.tenant)
	maphash.WriteComparable(&h, p.key.Provider)
	if p.Recipient == nil {
		maphash.WriteComparable(&h, witness.Message(uint64(p.session), p.Mails))
	}
	maphash.WriteComparable(&h, string(p.Sender))
	maphash.WriteComparable(&h, string(p.Recipient))
	return h.Sum64()
}

// wordsOf is what of a reply is the same whoever it is said to: its words without addresses, names, numbers, and codes.
func (t *twice) wordsOf(p *plea) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for word := range bytes.FieldsSeq(bytes.ToLower(p.Text)) {
		if word = bytes.Trim(word, `.,:;!?()[]<>"'`); len(word) == 0 || bytes.ContainsAny(word, "0123456789@") ||
			slices.ContainsFunc(p.EHLO[:], func(name string) bool { return name != "" && bytes.EqualFold(word, []byte(name)) }) {
			continue
		}
		h.Write(word)
		h.WriteByte(' ')
	}
	return h.Sum64()
}

// weigh makes a refusal a doubt if another sending IP has met the same, and takes back what that has done to the other. Both may be meant
// all the same where the words are about a network that both are in, or where we know from the list itself that this one is on it.
func (o *Outlet) weigh(p *plea) {
	v := &p.verdict
	if p.own || v.Suspend == classify.No || classes[v.Class].stake != ofOurIP {
		return
	}
	t := o.rescues.twice
	message := witness.Message(uint64(p.session), p.Mails)
	if message == 0 && p.Recipient == nil {
		return // nothing tells the mail from others
	}
	who, words := p.key.Provider, t.wordsOf(p)
	if p.part != "" {
		who = p.key.At(p.part).Provider
	}
	p.doubted = t.doubted(saying{who, words})
	p.mail = t.mail(p)
	p.met = met{
		ip: p.SendingIP.Unmap(), message: message, part: p.part, at: time.Now(),
		what: wording{v.Rule, namesOf(v.Lists), words},
	}
	same := slices.DeleteFunc(t.before(p.mail, &p.met, p.tenant), func(other met) bool { return o.ofBoth(p, other.ip) })
	if len(same) > 0 {
		t.doubt(saying{who, words}, p.tenant)
		p.twice, p.doubted = true, true
	}
	for i := range same {
		o.takeBack(p, &same[i])
	}
	if p.doubted {
		v.Suspend = classify.May
	}
}

// weighAgain is for a refusal that the standing has heard: another session's, of another sending IP, that was weighed
// between the two has found nothing yet to take back.
func (o *Outlet) weighAgain(p *plea) {
	if p.mail == 0 || p.twice {
		return
	}
	same := o.rescues.twice.since(p.mail, &p.met)
	if !slices.ContainsFunc(same, func(other met) bool { return !o.ofBoth(p, other.ip) }) {
		return
	}
	p.twice, p.doubted, p.verdict.Suspend = true, true, classify.May
	o.takeBack(p, &p.met)
}

// takeBack takes back what a refusal has done to its sending IP.
func (o *Outlet) takeBack(p *plea, m *met) {
	key := standing.Key{IP: m.ip, Provider: p.key.Provider}
	o.book.Doubt(key, m.message)
	if m.part != "" {
		o.book.Doubt(key.At(m.part), m.message)
	}
}

// ofBoth reports whether a refusal can be about two of our sending IPs.
func (o *Outlet) ofBoth(p *plea, other netip.Addr) bool {
	return o.book.Listed(p.SendingIP) || slices.Contains(o.refusedWith(p, []netip.Addr{other}), other)
}
