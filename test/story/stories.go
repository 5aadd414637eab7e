package story

import (
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"

	"kanmon/internal/event"
)

// A teller tells one story.
type teller struct {
	*Story
	w      *world
	rand   *rand.Rand
	drafts []*draft
	last   func() // what is drawn up when all has happened
}

// story begins one.
func (w *world) story(name, what string, begin, end time.Time) *teller {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	s := &teller{Story: &Story{Name: name, What: what, Begin: begin, End: end, Numbers: make(map[string]int)}, w: w, rand: rand.New(rand.NewPCG(w.Seed, h.Sum64()))} //nolint:gosec // it is to be the same each time
	w.tellers = append(w.tellers, s)
	return s
}

// of says whom a story is about.
func (s *teller) of(tenant, account, provider string, ip netip.Addr) {
	s.Tenant, s.Account, s.Provider, s.SendingIP = tenant, account, provider, ip
}

// meaning says what its refusals say, and mean.
func (s *teller) meaning(class, text string) { s.Class, s.Text = class, text }

// every does something again and again until the story ends.
func (s *teller) every(step time.Duration, do func(n int, at time.Time)) {
	for n, at := 0, s.Begin; at.Before(s.End); n, at = n+1, at.Add(step) {
		do(n, at.Add(time.Duration(s.rand.Int64N(int64(step/4)))))
	}
}

// close draws up what has become of the story's mails.
func (s *teller) close() {
	for _, d := range s.drafts {
		if len(d.Attempts) == 0 {
			continue
		}
		d.State = d.state(s.w.ledger.To)
		s.Mails = append(s.Mails, d.Mail)
	}
	if s.last != nil {
		s.last()
	}
}

// refusedSession is one that came to nothing: no mail was begun in it.
func (s *teller) refusedSession(at time.Time, tenant, to, reason string, p event.Phase, failed event.Failing, said string) {
	d := s.w.draft(s.rand, tenantOf(tenant), &Mail{Tenant: tenant, Recipients: []string{to}}, siteOf(to))
	t := &try{draft: d, gateway: d.gateway, at: at, ip: d.ip, mx: d.site.mx[0], reason: reason, phase: p, dial: 10 * time.Millisecond, failed: failed, banner: said}
	if reason == "refused_stopping" {
		t.ip = netip.Addr{}
	}
	s.Numbers["sessions"]++
	s.w.ends(s.w.begin(t), t, at.Add(20*time.Millisecond))
}

// stories has all of them go on.
func (w *world) stories() {
	for _, tell := range []func(*world){
		slowProvider, fifthTry, fifthTryUnnamed, waitsFour, arrived, listed, hacked, newsletter, exhausted, warming, fortnightOfAcme, restart,
		twice, twiceByHangUp, wouldHave,
		greylisted, downgraded, needsTLS, tarpit, rescued, notRescued, softenedOnce, limited, limitRejects, unknownUsers, receiverDown, lostAtData,
		alike, missing, killed, sameQueueID, overTwoGateways, ipv6, nullSenders, smtputf8, thousand, identical, identicalUnnamed, sameMessageID, noQueueID, partly,
		hostile, quota, spam, unauthenticated, gaveUpItself, withheld, tooBig, spoofing, foreignAccount, newWords, givenUp, large, noPTR, tightened,
		reloadRefused, rulesChanged, moved, turnedAway, limitBlocks, oftenWritten, letters, tagged, sentAgain, overMidnight, slowDot, canaries,
	} {
		tell(w)
	}
}
