package event

import (
	"fmt"
	"math"

	"kanmon/internal/event/word"
)

// A Suspicion is what speaks against a mail before anybody has seen its content, as a number with its parts. It never changes once it is
// told.
type Suspicion struct {
	Score  float64 // from 0 to 1, in thousandths
	Capped bool    // its conduct alone comes to more than conduct may
	Parts  []Suspect
}

// A Suspect is one part of a suspicion, with the figures that it rests on: what they count, [Suspect.Says] says.
type Suspect struct {
	Ground Ground
	P      float64 // above 0, at most the ground's ceiling; in thousandths
	N, Of  float64
}

// A Ground is why a mail may be suspected.
type Ground uint8

// The grounds.
const (
	GroundContained    Ground = iota // containment has slowed, diverted or stopped its account or its tenant, or would
	GroundScores                     // what scanners have said of its account's last mails
	GroundUnknown                    // recipients that do not exist
	GroundNewRecipient               // recipients that the account has not written to before
	GroundBurst                      // more recipients an hour than the account has at this time of the week
	GroundDomains                    // more recipient domains an hour than the account has
	GroundNewAccount                 // its account is new
	GroundNewTenant                  // its tenant is new
	GroundHour                       // an hour of the day at which the account does not send
	GroundForeign                    // a sender domain that is not the account's
	GroundNewSource                  // an MSA that the account has not sent from
	GroundCount
)

var grounds = word.List[Ground]("ground of suspicion", "contained", "scores", "unknown_recipients", "new_recipients", "burst", "recipient_domains",
	"new_account", "new_tenant", "unusual_hour", "foreign_sender", "new_msa")

// String returns the ground as it stands in the records.
func (g Ground) String() string { return grounds.Text(g) }

// UnmarshalText reads a ground.
func (g *Ground) UnmarshalText(text []byte) error { return grounds.Read(text, g) }

// Words returns the grounds.
func (Ground) Words() []string { return grounds.Words() }

// levelsOfGround are those of [GroundContained], by N.
var levelsOfGround = [...]string{"normal", "slow", "divert", "stop"}

// Says says a part's figures in words.
func (s *Suspect) Says() string {
	n, of := int(math.Round(s.N)), int(math.Round(s.Of))
	switch s.Ground {
	case GroundContained:
		whose := [...]string{"its account", "its tenant"}[min(max(of, 0), 1)]
		return fmt.Sprintf("containment has %s at %s", whose, levelsOfGround[min(max(n, 0), len(levelsOfGround)-1)])
	case GroundScores:
		return fmt.Sprintf("its last %d scanned mails came to %.2f of 1", of, s.N)
	case GroundUnknown:
		return fmt.Sprintf("%d of %d recipients answered within an hour do not exist", n, of)
	case GroundNewRecipient:
		return fmt.Sprintf("%d of %d recipients within an hour were never written to before", n, of)
	case GroundBurst:
		return fmt.Sprintf("%d recipients in this hour, %d are its most at this time of the week", n, of)
	case GroundDomains:
		return fmt.Sprintf("%d recipient domains in this hour, %d are its most", n, of)
	case GroundNewAccount:
		return fmt.Sprintf("the account is known for %d days, with %d mails", n, of)
	case GroundNewTenant:
		return fmt.Sprintf("the tenant is known for %d days", n)
	case GroundHour:
		return fmt.Sprintf("%d of its %d mails were sent at about this hour of the day", n, of)
	case GroundForeign:
		return "the sender's domain is not one that the account sends with"
	case GroundNewSource:
		return "the account has not sent from this MSA before"
	}
	return s.Ground.String()
}

// Says says a suspicion in a line: the score, and each part with its p and its figures, the largest first.
func (s *Suspicion) Says() string {
	text := fmt.Sprintf("%.2f", s.Score)
	if len(s.Parts) == 0 {
		return text + ": nothing speaks against it"
	}
	for i := range s.Parts {
		before := " + "
		if i == 0 {
			before = " = "
		}
		text += fmt.Sprintf("%s%s %.2f (%s)", before, s.Parts[i].Ground, s.Parts[i].P, s.Parts[i].Says())
	}
	if s.Capped {
		text += "; conduct alone comes to no more"
	}
	return text
}
