package contain

import "fmt"

// decide completes a decision and keeps it.
func (d *Detector) decide(e *entry, n Decision) {
	d.seq++
	n.Seq, n.At, n.Subject, n.Enforced = d.seq, d.time.now.Round(0), e.Subject, d.policy.Enforce.cap(n.To)
	if n.By == byEvidence {
		n.Cause = d.cause
	}
	if n.Reading.Signal == Hand && n.To == Stop {
		n.Enforced = Stop // what is by hand needs no policy
	}
	if e.exempt != nil || e.owner.exempt != nil {
		n.Enforced = Normal
	}
	if e.evidence != nil {
		n.Samples = append([]Sample(nil), e.evidence.samples...)
	}
	if len(d.decisions) == 2*maxDecisions {
		d.decisions = d.decisions[:copy(d.decisions, d.decisions[maxDecisions:])]
	}
	d.decisions = append(d.decisions, n)
	e.last = &n
	d.mark(e)
	if d.decided != nil {
		d.decided(n)
	}
}

var whyOf = map[Signal]string{
	UnknownRecipients: "recipients that do not exist",
	Content:           "messages refused as spam or for what is in them",
	SenderRefused:     "refusals of the sender or its domain",
	Listing:           "refusals that name our IPs, from which others are accepted",
	Backscatter:       "bounces to recipients that do not exist",
	SpreadUnknown:     "recipients that do not exist",
	SpreadContent:     "messages refused as spam or for what is in them",
	ScannersRefuse:    "messages that scanners would refuse",
}

// why says in words what the numbers mean.
func (r *Reading) why() string {
	switch r.Signal {
	case Volume:
		return fmt.Sprintf("about %d distinct recipients in this hour, allowed without a look at outcomes: %.0f", r.Bad, r.Threshold)
	case ManyAccounts:
		return fmt.Sprintf("%d of %d accounts are contained, enough: %.0f", r.Bad, r.Cases, r.Threshold)
	case Viruses:
		return fmt.Sprintf("scanners have found a virus in %d messages in a sliding day, enough: %.0f", r.Bad, r.Threshold)
	case Quiet:
		return fmt.Sprintf("nothing for %.1f hours that would slow it", r.Threshold)
	}
	text := fmt.Sprintf("%d of %d in a sliding %s (%.1f %%, surely %.1f %%): %s; allowed: less than %.1f %%",
		r.Bad, r.Cases, r.Window, 100*r.Share, 100*r.Low, whyOf[r.Signal], 100*r.Threshold)
	if r.Named {
		text += "; at providers with a name alone"
	}
	if r.Accounts > 0 {
		text += fmt.Sprintf("; by about %d accounts", r.Accounts)
	}
	return text
}
