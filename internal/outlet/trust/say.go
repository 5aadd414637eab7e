package trust

import (
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
)

// What of a text goes into a reply, so that it fits into one line with the longest name of a gateway (RFC 5321 section 4.5.3.1.5).
const (
	mostName   = 55 // of a domain
	mostWhat   = 95 // of what is wrong
	mostDetail = 300
)

// verdict tells what comes of a leg, in the mode of the configuration.
func (t *Trust) verdict(domain string, k *known, l *session.TrustLeg, j *judged, settled bool) session.Verdict {
	told := &event.Trust{Domain: domain, Policy: j.policy, Name: j.name, ServerName: l.ServerName, Why: j.why, Age: k.age(j.policy, l.Now)}
	v := session.Verdict{Pass: j.pass, Until: j.until, Told: told}
	switch {
	case j.pass && (j.policy == event.TrustNone || j.policy == event.TrustUnknown):
		return v
	case j.pass:
		told.Verdict = event.TrustPassed
		if j.named {
			v.Name = j.name
		}
		return v
	}
	told.Verdict, told.Detail = event.TrustRefused, event.Printable(j.detail, mostDetail)
	switch {
	case k.domain == "": // by the operator's own word, whatever is done about what domains ask
		v.Until, v.ServerName, v.Fresh, v.Say = time.Time{}, j.shows, j.fresh, say(domain, k, j)
	case !t.c.Enforce && !settled:
		told.Verdict, v.Pass = event.TrustUnjudged, true
	case !t.c.Enforce:
		told.Verdict, v.Pass = event.TrustWouldRefuse, true
	case j.policy == event.TrustTesting: // RFC 8461 section 5: it is delivered, and reported
		told.Verdict, v.Pass, v.ServerName, v.Fresh = event.TrustWouldRefuse, true, j.shows, j.fresh
	default:
		v.Until, v.ServerName, v.Fresh, v.Say = time.Time{}, j.shows, j.fresh, say(domain, k, j)
	}
	return v
}

// age is how old the policy is that counts.
func (k *known) age(policy event.TrustPolicy, now time.Time) time.Duration {
	since := k.heard
	if p := k.asked(); p != nil && (policy == event.TrustSTS || policy == event.TrustTesting) {
		since = p.Fetched
	}
	if since.IsZero() {
		return 0
	}
	return max(0, now.Sub(since))
}

// say is the reply to the recipient.
func say(domain string, k *known, j *judged) replies.Said {
	if j.why == event.DNSFailed || j.why == event.DNSSECInvalid {
		return replies.TLSUnknown.Say(end(domain, mostName), begin(j.detail, mostWhat))
	}
	asks := "DANE"
	switch {
	case k.domain == "":
		asks = end(k.hosts[0].name, mostName/2)
		domain = "this gateway"
	case j.policy == event.TrustSTS:
		asks = "MTA-STS"
	}
	return replies.TLSUnproved.Say(end(domain, mostName), asks, begin(j.detail, mostWhat))
}

const cut = "..."

// begin gives the beginning of a stranger's text, in ASCII: nobody has said that an MSA can read more.
func begin(text string, most int) string {
	if text = ascii(text); len(text) > most {
		text = text[:most-len(cut)] + cut
	}
	return text
}

// end gives the end of a name: that says whose it is.
func end(name string, most int) string {
	if name = ascii(name); len(name) > most {
		name = cut + name[len(name)-most+len(cut):]
	}
	return name
}

func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
