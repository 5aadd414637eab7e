package suspect

import (
	"cmp"
	"math"
	"slices"
	"time"

	"kanmon/internal/event"
)

// Figures are all that a suspicion is made of. The zero Figures are of a mail of which nothing is known, and nothing speaks against it.
type Figures struct {
	Known

	Score  float64 // what scanners have said of the last mails: from 0 to 1, older ones for less
	Scored int     // how many these were, ScoredMost at most

	Recent, RecentNew int     // recipients within an hour that MXs have accepted, and of them those not written to before
	UsualNew          float64 // the largest share of these that it had in an hour; 0: not known
	Usual             float64 // the most recipients an hour at this time of the week; 0: not known
	Domains           int     // recipient domains in this hour
	UsualDomains      float64 // the most in an hour; 0: not known

	Mails  int  // of the account, as far as they were counted
	Counts bool // all of its mails were
	AtHour int  // of its mails before this hour, those at about this hour of the day
	InDay  int  // of so many

	Foreign   bool // the sender's domain is not one that the account sends with
	NewSource bool // it has not sent from this MSA before
}

// Known is what whoever asks knows of a mail's sender already.
type Known struct {
	Level    int  // of containment: 0 normal, 1 slow, 2 divert, 3 stop; what it would be if everything were enforced
	OfTenant bool // Level is the tenant's
	Outcomes bool // Level is for what receivers have said, and not for volume alone

	Unknown, Answered int // recipients of the account that an MX has answered for good within an hour
	Reached           int // distinct recipients in this hour of the clock

	Age, TenantAge time.Duration // since account and tenant were heard of first
	// Before and TenantBefore are how long mail had been watched by then. Who was there from the start is not new for having been seen first.
	Before, TenantBefore time.Duration
}

// ScoredMost is of how many scanned mails the scores are kept.
const ScoredMost = 20

// ConductMost is what conduct alone comes to at most.
const ConductMost = 0.79

// ceilings are what each part comes to at most: start values, none of them measured. docs/why/suspicion.md has them, too.
var ceilings = [event.GroundCount]float64{
	event.GroundContained:    0.60, // receivers have spoken, of many mails: the most that is known without scanners
	event.GroundScores:       0.70, // scanners have, of this account's mail: nothing tells more of the next one
	event.GroundUnknown:      0.40, // stolen accounts write to old lists, and honest ones hardly ever (Exim's BlockCracking)
	event.GroundNewRecipient: 0.30, // stolen accounts write to strangers; so does who sends a first newsletter
	event.GroundBurst:        0.25, // the reason to steal an account; and a mailing to all customers
	event.GroundDomains:      0.20, // tells lists from teams, and is seldom without a burst
	event.GroundNewAccount:   0.15, // most abuse of new accounts comes in their first days, and most new accounts are honest
	event.GroundNewTenant:    0.10, // likewise; and all of its accounts have it
	event.GroundHour:         0.15, // who holds a stolen account lives elsewhere; people also travel
	event.GroundForeign:      0.15, // scripts make up senders; forwarders and second domains do as well
	event.GroundNewSource:    0.10, // an MSA that is new to an account; and every change of servers
}

// isEvidence reports whether a ground is what others have said of the account's mail, and not conduct.
func (f *Figures) isEvidence(g event.Ground) bool {
	return g == event.GroundScores || g == event.GroundContained && f.Outcomes
}

// A judge weighs a part: p is at most its ceiling; n and of are for people.
type judge func(f *Figures) (p, n, of float64)

var judges = [event.GroundCount]judge{
	event.GroundContained: contained, event.GroundScores: scores, event.GroundUnknown: unknown, event.GroundNewRecipient: newRecipients,
	event.GroundBurst: burst, event.GroundDomains: domains, event.GroundNewAccount: newAccount, event.GroundNewTenant: newTenant,
	event.GroundHour: unusualHour, event.GroundForeign: foreign, event.GroundNewSource: newSource,
}

// Judge makes a suspicion of the figures.
func Judge(f *Figures) *event.Suspicion {
	s := &event.Suspicion{}
	conduct, evidence := 1.0, 1.0 // that nothing of it holds
	for g := range event.GroundCount {
		p, n, of := judges[g](f)
		if p = thousandths(p); p <= 0 {
			continue
		}
		if s.Parts == nil {
			s.Parts = make([]event.Suspect, 0, 4)
		}
		s.Parts = append(s.Parts, event.Suspect{Ground: g, P: p, N: n, Of: of})
		if f.isEvidence(g) {
			evidence *= 1 - p
		} else {
			conduct *= 1 - p
		}
	}
	if least := 1 - ConductMost; conduct < least {
		conduct, s.Capped = least, true
	}
	s.Score = thousandths(1 - conduct*evidence)
	slices.SortStableFunc(s.Parts, func(a, b event.Suspect) int { return cmp.Compare(b.P, a.P) })
	return s
}

func thousandths(x float64) float64 { return math.Round(x*1000) / 1000 }

// What is enough for each part.
const (
	slowWeight = 0.35 // what a level of slow is worth; more is worth the ceiling

	fullScore = 0.6 // at which most scanners' rules mark a mail

	leastRecent   = 20 // recipients, of which a share of new ones says something
	someNew       = 0.5
	manyNew       = 0.9
	leastAnswered = 20 // likewise, of unknown ones

	coldRecipients = 200 // an hour of who has no past: a tenth of what containment lets pass without a look
	warmRecipients = 20  // an hour that is no burst, whatever the past
	warmDomains    = 10

	newFor      = 14 * 24 * time.Hour
	newForMails = 50

	leastMails = 200  // that tell of an account's day
	rareHour   = 0.01 // of its mails

	wilsonZ = 1.96 // 95 %: containment, which acts on it, wants 3
)

// most is what a part comes to at most.
func most(g event.Ground) float64 { return ceilings[g] }

func contained(f *Figures) (p, n, of float64) {
	if f.OfTenant {
		of = 1
	}
	switch {
	case f.Level <= 0:
		return 0, 0, of
	case f.Level == 1:
		return slowWeight, 1, of
	}
	return most(event.GroundContained), float64(f.Level), of
}

func scores(f *Figures) (p, n, of float64) {
	return ramp(f.Score, 0, 0, fullScore, most(event.GroundScores)), f.Score, float64(f.Scored)
}

func unknown(f *Figures) (p, n, of float64) {
	if f.Answered >= leastAnswered {
		p = ramp(wilson(f.Unknown, f.Answered), 0.02, 0, 0.05, 0.1, 0.20, most(event.GroundUnknown))
	}
	return p, float64(f.Unknown), float64(f.Answered)
}

func newRecipients(f *Figures) (p, n, of float64) {
	if f.Recent >= leastRecent && f.UsualNew < manyNew { // else to write to strangers is what it does: a shop
		p = ramp(float64(f.RecentNew)/float64(f.Recent), max(someNew, f.UsualNew), 0, manyNew, most(event.GroundNewRecipient))
	}
	return p, float64(f.RecentNew), float64(f.Recent)
}

func burst(f *Figures) (p, n, of float64) {
	of = math.Max(f.Usual, warmRecipients)
	if f.Usual == 0 {
		of = coldRecipients
	}
	n = float64(f.Reached)
	return ramp(n/of, 2, 0, 3, 0.1, 10, most(event.GroundBurst)), n, of
}

func domains(f *Figures) (p, n, of float64) {
	n, of = float64(f.Domains), math.Max(f.UsualDomains, warmDomains)
	if f.UsualDomains > 0 {
		p = ramp(n/of, 1.5, 0, 3, most(event.GroundDomains))
	}
	return p, n, of
}

func newAccount(f *Figures) (p, n, of float64) {
	young := youth(f.Age)
	if f.Counts { // an account that has sent next to nothing is not known by its age
		young = math.Max(young, 1-math.Min(1, float64(f.Mails)/newForMails))
	}
	return most(event.GroundNewAccount) * young * watched(f.Before), days(f.Age), float64(f.Mails)
}

func newTenant(f *Figures) (p, n, of float64) {
	return most(event.GroundNewTenant) * youth(f.TenantAge) * watched(f.TenantBefore), days(f.TenantAge), 0
}

// youth is 1 of who was first heard of now, and 0 when that is long ago.
func youth(age time.Duration) float64 { return 1 - watched(age) }

func watched(d time.Duration) float64 {
	return math.Max(0, math.Min(1, float64(d)/float64(newFor)))
}

func days(d time.Duration) float64 { return math.Max(0, math.Floor(d.Hours()/24)) }

func unusualHour(f *Figures) (p, n, of float64) {
	n, of = float64(f.AtHour), float64(f.InDay)
	if f.InDay >= leastMails {
		p = ramp(-n/of, -rareHour, 0, 0, most(event.GroundHour))
	}
	return p, n, of
}

func foreign(f *Figures) (p, n, of float64) {
	if f.Foreign {
		p = most(event.GroundForeign)
	}
	return p, 0, float64(f.Mails)
}

func newSource(f *Figures) (p, n, of float64) {
	if f.NewSource {
		p = most(event.GroundNewSource)
	}
	return p, 0, float64(f.Mails)
}

// ramp gives the value at x of the line through points (x, y), in rising order of x: the first y before them, and the last one behind.
func ramp(x float64, points ...float64) float64 {
	if x <= points[0] {
		return points[1]
	}
	for i := 2; i < len(points); i += 2 {
		if x0, y0, x1, y1 := points[i-2], points[i-1], points[i], points[i+1]; x <= x1 {
			return y0 + (y1-y0)*(x-x0)/(x1-x0)
		}
	}
	return points[len(points)-1]
}

// wilson is the lower bound of a share of which bad of cases were seen (Wilson 1927): 3 of 5 are not taken for 60 %.
func wilson(bad, cases int) float64 {
	if cases <= 0 || bad <= 0 {
		return 0
	}
	n, z2 := float64(cases), wilsonZ*wilsonZ
	p := math.Min(float64(bad)/n, 1)
	return math.Max(0, (p+z2/(2*n)-wilsonZ*math.Sqrt(p*(1-p)/n+z2/(4*n*n)))/(1+z2/n))
}
