package contain

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// An Explanation is all that is known of a subject.
type Explanation struct {
	Subject Subject `json:"subject"` // as it is kept, if it is known: fit to be shown
	Known   bool    `json:"known"`   // false: never heard of, or forgotten; all else but the answer is empty
	Level   Level   `json:"level"`   // by evidence; the subject's own
	Answer  Answer  `json:"answer"`

	Since    time.Time     `json:"since,omitzero"` // when the level was last set
	Signal   Signal        `json:"signal,omitempty"`
	Strikes  int           `json:"strikes,omitempty"`
	DownIn   time.Duration `json:"down_in,omitempty"` // one level, if nothing bad happens; nanoseconds
	Block    *ByHand       `json:"block,omitempty"`
	Exempt   *ByHand       `json:"exempt,omitempty"`
	Allow    *ByHand       `json:"allow,omitempty"`
	Last     *Decision     `json:"last,omitempty"`
	Readings []Reading     `json:"readings"` // the signals in both windows, Volume among them; since the level was last set
	Usual    Usual         `json:"usual"`
	Hour     Counts        `json:"hour"`
	Day      Counts        `json:"day"`
	Samples  []Sample      `json:"samples,omitempty"`

	// Distinct recipients in this hour of the clock, with a standard error of 13 %, and of them those that count
	// against the allowance: of a tenant not those of accounts that are contained, exempt, lists or forwarders, nor of
	// bounces.
	Distinct      int    `json:"distinct"`
	Counting      int    `json:"counting"`
	Allowance     int    `json:"allowance"`
	AllowanceFrom string `json:"allowance_from"`
	Octets        int64  `json:"octets"` // accepted since kanmon began or the subject was last forgotten
	Recipients    int64  `json:"recipients"`
}

// Usual is what share of bad outcomes a subject usually has; 0 while too little is known.
type Usual struct {
	Unknown float64 `json:"unknown"`
	Content float64 `json:"content"`
}

// Counts are a window's.
type Counts struct {
	Mails      int `json:"mails"`
	NullSender int `json:"null_sender"`
	Tried      int `json:"tried"` // RCPTs
	Answered   int `json:"answered"`
	Unknown    int `json:"unknown"`
	Rejected   int `json:"sender_rejected"`
	Judged     int `json:"judged"` // messages
	Content    int `json:"content_rejected"`
	Delivered  int `json:"delivered"`
	RefusedIP  int `json:"refused_ip"`
	Followed   int `json:"followed"`
}

func (n *counts) shown() Counts {
	return Counts{
		Mails: int(n[mails]), NullSender: int(n[nulls]), Tried: int(n[tried]), Answered: int(n[answered]), Unknown: int(n[unknown]),
		Rejected: int(n[rejected]), Judged: int(n[judged]), Content: int(n[content]), Delivered: int(n[delivered]),
		RefusedIP: int(n[refusedIP]), Followed: int(n[followed]),
	}
}

// Explain returns all numbers of a subject, with thresholds.
func (d *Detector) Explain(s Subject) Explanation {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	x := Explanation{Subject: s}
	e := d.find(s)
	if t := d.tenant(s.Tenant); t != nil {
		account := e
		if s.Account == "" {
			account = nil
		}
		x.Answer = d.answer(t, account) // the tenant's level holds for accounts that are not known, too
	}
	if e == nil {
		return x
	}
	d.turnHour(e)
	x.Subject = e.Subject
	x.Known, x.Level, x.Signal, x.Strikes = true, e.level, e.signal, int(e.strikes)
	x.Since = d.time.now.Add(e.since - d.time.age).Round(0)
	if e.level > Normal {
		x.DownIn = d.quiet(e) - (d.time.age - e.lastBad)
	}
	x.Block, x.Exempt, x.Allow = e.block.shown(&d.time), e.exempt.shown(&d.time), e.allow.shown(&d.time)
	if e.last != nil {
		last := *e.last
		x.Last = &last
	}
	d.read(e, func(r Reading) { x.Readings = append(x.Readings, r) })
	if e.scans != nil {
		x.Readings = append(x.Readings, e.scans.read(d.time.minute)...)
	}
	volume := Reading{Signal: Volume, Window: "hour", Bad: int(e.distinct), Cases: int(e.distinct), Threshold: e.allowance}
	if e.loud {
		volume.Level = Slow
	}
	x.Readings = append(x.Readings, volume)
	x.Usual = Usual{e.usual[0].share(), e.usual[1].share()}
	x.Hour, x.Day = e.hour.sum.shown(), e.day.sum.shown()
	if e.evidence != nil {
		x.Samples = slices.Clone(e.evidence.samples)
	}
	x.Distinct, x.Counting = int(math.Round(e.reachedNow())), int(math.Round(e.distinct))
	x.Allowance, x.AllowanceFrom = int(e.allowance), e.basis
	x.Octets, x.Recipients = e.octets, e.recipients
	return x
}

// A Standing is a line of a list for operators.
type Standing struct {
	Subject Subject   `json:"subject"`
	Level   Level     `json:"level"` // by evidence
	Since   time.Time `json:"since"`
	Why     string    `json:"why"`
	Block   *ByHand   `json:"block,omitempty"`
	Exempt  *ByHand   `json:"exempt,omitempty"`
	Allow   *ByHand   `json:"allow,omitempty"`
}

// List returns all subjects that are contained, blocked or exempt, or whose content is allowed, by name.
func (d *Detector) List() []Standing {
	var all []Standing
	d.standing(func(e *entry) {
		d.settle(e)
		if e.level == Normal && e.block == nil && e.exempt == nil && e.allow == nil {
			return
		}
		s := Standing{
			Subject: e.Subject, Level: e.level, Since: d.time.now.Add(e.since - d.time.age).Round(0),
			Block: e.block.shown(&d.time), Exempt: e.exempt.shown(&d.time), Allow: e.allow.shown(&d.time),
		}
		if e.last != nil {
			s.Why = e.last.Why
		}
		all = append(all, s)
	})
	slices.SortFunc(all, func(x, y Standing) int {
		return cmp.Or(cmp.Compare(x.Subject.Tenant, y.Subject.Tenant), cmp.Compare(x.Subject.Account, y.Subject.Account))
	})
	return all
}
