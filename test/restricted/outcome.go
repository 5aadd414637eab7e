package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
)

// An outcome is what came of a scene.
type outcome struct {
	scene
	mails   int
	lost    int // not arrived
	twice   int
	bounced int // tries behind which an MSA gave up
	split   int // mails that left from another IP than their own, of IPs that nothing was found of

	found  []foundRestriction
	other  delays // of mail of all other keys
	slowed delays // of an imitation: of what is slow
	told   []string
	untrue []string // of these
}

// A foundRestriction is what came of a restriction.
type foundRestriction struct {
	restriction
	finding       *event.Entry // nil: it was not told
	after         time.Duration
	of, ofAll     int // mails of the IP there, and of all, that were submitted until then
	acts          []string
	stayed, moved int    // of the mails of the IP since something is done about it
	before, since delays // of the IP's mails there, until it was told and since something is done
}

// Delays are what the MSAs noticed of some mails.
type delays struct {
	n, deferred     int // deferred: tries
	median, longest time.Duration
}

// notice is what an MSA's log says of a mail.
type notice struct {
	sent     bool
	delay    time.Duration
	deferred int
	bounced  int
}

// outcome reads what MSAs, MXs and kanmon know in the end.
func (s *stage) outcome() (*outcome, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	o := &outcome{scene: s.scene, mails: len(s.mails)}
	taken, noticed := s.taken(), s.noticed()
	for token := range s.mails {
		o.bounced += noticed[token].bounced
		switch n := taken[token]; {
		case n == 0:
			o.lost++
		case n > 1:
			o.twice++
		}
	}
	arrived := slices.DeleteFunc(slices.Clone(v.mails), func(m sight) bool { return !m.delivered })
	for _, r := range s.want {
		o.found = append(o.found, s.foundOf(r, &v, arrived, noticed))
	}
	o.other = delaysOf(arrived, noticed, func(m sight) bool { return !s.concerned(m) })
	o.slowed = delaysOf(arrived, noticed, s.concerned)
	for _, m := range arrived {
		if m.from != m.own && (len(s.want) == 0 || !s.concerned(m)) {
			o.split++
		}
	}
	for _, f := range s.untrue(v) {
		o.untrue = append(o.untrue, findingText(f))
	}
	for _, f := range v.findings {
		o.told = append(o.told, fmt.Sprintf("%s after %.0f s", findingText(f), f.At.Sub(s.began).Seconds()))
	}
	return o, nil
}

// concerned reports whether a mail is of what the scene makes slow.
func (s *stage) concerned(m sight) bool {
	if s.slow != nil {
		return s.slow(m.mail)
	}
	return slices.ContainsFunc(s.want, func(r restriction) bool { return m.own == r.ip && m.mx == r.mx })
}

// noticed reads the MSAs' logs.
func (s *stage) noticed() map[string]notice {
	all := map[string]notice{}
	for _, msa := range s.msas {
		for _, a := range msa.AllAttempts() {
			token, _, _ := strings.Cut(a.Recipient, "@")
			n := all[token]
			switch a.Status {
			case "deferred":
				n.deferred++
			case "bounced":
				n.bounced++
			case "sent":
				n.sent, n.delay = true, a.Delay
			}
			all[token] = n
		}
	}
	return all
}

func (s *stage) foundOf(r restriction, v *view, arrived []sight, noticed map[string]notice) foundRestriction {
	f := foundRestriction{restriction: r}
	finding, acted, acts := v.of(r)
	if f.finding, f.acts = finding, acts; finding == nil {
		return f
	}
	f.after = finding.At.Sub(s.began)
	is := func(m sight) bool { return m.own == r.ip && m.mx == r.mx }
	for _, m := range arrived {
		switch {
		case m.at.Before(finding.At):
			f.ofAll++
			if is(m) {
				f.of++
			}
		case is(m) && m.at.After(acted) && m.from == r.ip:
			f.stayed++
		case is(m) && m.at.After(acted):
			f.moved++
		}
	}
	f.before = delaysOf(arrived, noticed, func(m sight) bool { return is(m) && m.at.Before(finding.At) })
	f.since = delaysOf(arrived, noticed, func(m sight) bool { return is(m) && m.at.After(acted) })
	return f
}

func delaysOf(mails []sight, noticed map[string]notice, fits func(sight) bool) (d delays) {
	var times []time.Duration
	for _, m := range mails {
		if fits(m) {
			n := noticed[m.token]
			times = append(times, n.delay)
			d.deferred += n.deferred
		}
	}
	if d.n = len(times); d.n > 0 {
		slices.Sort(times)
		d.median, d.longest = times[(d.n-1)/2], times[d.n-1]
	}
	return d
}
