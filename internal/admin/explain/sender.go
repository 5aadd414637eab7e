package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kanmon/internal/admin"
)

// Sender says in sentences how a tenant's or an account's mail is treated, and why. What is near a threshold is among them.
func Sender(x *admin.SenderDetail) []string {
	r := &reasons{x: x}
	r.treated()
	r.kind()
	r.why()
	r.nowThen()
	r.suspicion()
	r.limits()
	return r.lines
}

// reasons are sentences, one a line.
type reasons struct {
	lines []string
	x     *admin.SenderDetail
}

func (r *reasons) say(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// treatments say what is done with mail at a level.
var treatments = map[string]string{
	admin.LevelNormal: "Its mail passes.",
	admin.LevelSlow:   "Its mail is slowed: few mails an hour pass, others are held or deferred (4xx) and wait in the tenant's own queue.",
	admin.LevelDivert: "Its mail is diverted: it is slowed and leaves from the high-risk pool, if there is one.",
	admin.LevelStop:   "Its mail is stopped: all of it is deferred (4xx) and waits in the tenant's own queue.",
}

// treated says what happens to mail now.
func (r *reasons) treated() {
	x := r.x
	switch {
	case x.Blocked:
		r.say("Its mail is blocked: all of it is deferred (4xx) and waits in the tenant's own queue.")
	case x.InForce == admin.LevelNormal && slices.ContainsFunc(x.Limits, func(l admin.LimitUse) bool { return l.Enforced && NearEnd(&l) }):
		r.say("Its mail passes, but for what is beyond a limit.")
	default:
		r.say("%s", cmp.Or(treatments[x.InForce], "Its level is "+x.InForce+"."))
	}
	if x.ByTenant {
		r.say("All mail of its tenant is treated so: see kanmon tenant explain %s.", ShellWord(x.Tenant))
	}
	if x.Block != nil {
		r.say("Blocked %s.", Hand(x.Block))
	}
	if x.Exempt != nil {
		r.say("Exempt from containment by evidence, %s.", Hand(x.Exempt))
	}
	if x.Allow != nil {
		r.say("What scanners say of its mail, but for viruses, is not held against it, %s.", Hand(x.Allow))
	}
	if x.Would == x.InForce {
		return
	}
	because := "the configuration does not enforce it"
	switch {
	case x.Exempt != nil:
		because = "it is exempt"
	case x.Account != "":
		because = "the configuration does not enforce it, or the tenant is exempt"
	}
	r.say("By evidence it would be %s, but %s.", cmp.Or(participles[x.Would], x.Would), because)
}

// kind says what it is marked as, and what that changes.
func (r *reasons) kind() {
	x := r.x
	if x.Mark != nil {
		r.say("It is %s.", Mark(x.Mark))
	}
	switch {
	case x.Mark == nil:
	case x.Account == "" && x.Mark.Kind == admin.KindForwarder:
		r.say("Mail whose sender's domain is not one of its sender_domains (without any: all of it) counts for its account %s, and neither for the tenant nor for its people.", forwarded)
	case x.Mark.Kind == admin.KindList:
		r.say("One message that a provider refuses is one refusal, one recipient who does not exist is one, and neither counts for the tenant; volume slows no list.")
	case x.Mark.Kind == admin.KindForwarder:
		r.say("One message that a provider refuses is one refusal, one recipient who does not exist is one, and neither counts for the tenant.")
	}
	if x.CountsFor != "" {
		r.say("What becomes of its mail counts for the account %s: see kanmon account explain %s --tenant %s.", x.CountsFor, ShellWord(x.CountsFor), ShellWord(x.Tenant))
	}
	if c := x.Callouts; c != nil {
		r.say("Callouts: %d recipients were asked for with the null sender and no message in this hour and the one before, %d of them unknown.", c.Asked, c.Dead)
		r.say("They are no bounces and count for nothing here, but receivers list hosts that ask much: a limit of recipients per account bounds them, and kanmon account limit '<>' sets it for them alone.")
	}
}

// forwarded is the account of what a tenant forwards.
const forwarded = "<forwarded>"

// looks says what else than abuse the numbers may come of.
func (r *reasons) looks() {
	switch r.x.Last.Looks {
	case admin.KindList:
		r.say("It looks like a mailing list, or like an account that was stolen: look at what it sends.")
	case admin.KindForwarder:
		r.say("It looks like forwarding, or like a relay that was stolen: look at whose mail it is.")
	}
}

// why says what evidence its own level rests on, and how it ends.
func (r *reasons) why() {
	x := r.x
	if x.Level == admin.LevelNormal {
		if x.Block == nil && x.Last != nil {
			r.say("Its own level is normal; the last change, at %s: %s.", When(x.Last.At), x.Last.Why)
		}
		return
	}
	last := x.Last
	state := strings.ToUpper(participles[x.Level][:1]) + participles[x.Level][1:] // all are ASCII
	if x.InForce != x.Level {
		state = "Found to be " + participles[x.Level]
	}
	switch {
	case last != nil && last.To == x.Level && last.By == "evidence":
		r.say("%s since %s: %s.", state, When(x.Since), Measured(&last.Reading, "the "+last.Reading.Window+" before"))
	case last != nil && last.To == x.Level && last.By == "quiet":
		r.say("%s since %s, down from %s: %s.", state, When(x.Since), last.From, last.Why)
	default:
		r.say("%s since %s, by the signal %s.", state, When(x.Since), x.Signal)
	}
	if last != nil && x.Mark == nil {
		r.looks()
	}
	if last != nil && len(last.Samples) > 0 {
		s := last.Samples[len(last.Samples)-1]
		r.say("A reply that counted, of %s at %s: %s", s.Provider, When(s.At), s.Reply)
	}
	r.say("If nothing more of that kind happens, it comes down to %s in %s.", below[x.Level], Span(x.DownIn))
	if x.Strikes > 1 {
		r.say("It was contained %d times in short succession; each time the way down takes longer.", x.Strikes)
	}
}

// below is a level's next one down.
var below = map[string]string{
	admin.LevelSlow: admin.LevelNormal, admin.LevelDivert: admin.LevelSlow, admin.LevelStop: admin.LevelDivert,
}

// nowThen says which signals are near what would contain it, or raise its level.
func (r *reasons) nowThen() {
	x := r.x
	if !x.Known {
		r.say("Nothing has been heard of its mail, or it is forgotten.")
		return
	}
	near := 0
	for i := range x.Readings {
		one := &x.Readings[i]
		if i > 0 && sameNumbers(one, &x.Readings[i-1]) {
			continue
		}
		reached := one.Low
		if Counted(one) {
			reached = float64(one.Bad)
		}
		if reached > 0 && (one.Level != admin.LevelNormal || reached >= one.Threshold/2) {
			near++
			r.say("Now: %s.", Measured(one, "the last "+one.Window))
		}
	}
	if near == 0 {
		r.say("Now no signal is near a threshold: in the last hour %d of %d recipients answered were unknown, %d of %d messages refused for what is in them.",
			x.Hour.Unknown, x.Hour.Answered, x.Hour.Content, x.Hour.Judged)
	}
}

// suspicion tells what would speak against its next mail.
func (r *reasons) suspicion() {
	s := r.x.Suspicion
	if s == nil {
		return
	}
	if len(s.Parts) == 0 {
		r.say("Suspicion of its next mail: 0, nothing speaks against it.")
		return
	}
	r.say("Suspicion of its next mail: %.2f, before its recipient, its MSA and its sender's domain are known. Of 1, what counts for it:", s.Score)
	for i := range s.Parts {
		r.say("%.2f for %s: %s.", s.Parts[i].P, strings.ReplaceAll(s.Parts[i].Ground, "_", " "), s.Parts[i].Says)
	}
	if s.Capped {
		r.say("Conduct alone comes to no more than 0.79, whatever its parts come to together.")
	}
}

// limits tells of those that are close to their end.
func (r *reasons) limits() {
	near := 0
	for i := range r.x.Limits {
		l := &r.x.Limits[i]
		if !NearEnd(l) {
			continue
		}
		near++
		text := fmt.Sprintf("Limit %s of the %s is close to its end", l.Name, l.Scope)
		if !l.Room {
			text = fmt.Sprintf("Limit %s of the %s has no room for %s", l.Name, l.Scope, waitText(l.Wait))
		}
		text += fmt.Sprintf(": %d of %d %s at once are used; it allows %s", l.Used, l.Max, l.Measure, Amount(l))
		if !l.Enforced {
			text += "; it only tells, and refuses nothing"
		}
		r.say("%s.", text)
	}
	switch {
	case len(r.x.Limits) == 0:
		r.say("No limit counts it by itself.")
	case near == 0:
		r.say("No limit is close to its end.")
	}
}

// NearEnd is four fifths.
func NearEnd(l *admin.LimitUse) bool { return !l.Room || float64(l.Used) >= 0.8*float64(l.Max) }
