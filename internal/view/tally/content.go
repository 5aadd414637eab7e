package tally

import (
	"cmp"
	"context"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Content is what scanners have said of mail that was judged behind the MX's reply, where both have spoken of the same message.
type Content struct {
	From     time.Time // the oldest line that was looked at
	Judged   int       // messages
	Scanners []ScannerSums
	Against  []Against // of the newest, so many as a page has time for
}

// ScannerSums are what one scanner has said.
type ScannerSums struct {
	Scanner                    string
	Scans, Clean, Bad, Unheard int           // Bad: it would refuse, mark or defer the message, or has found a virus; Unheard: it has given no verdict
	P50, P95                   time.Duration // of those with a verdict
}

// Against is how often the MX has done what with mail of one verdict.
type Against struct {
	Verdict string // "": there was none
	Taken   int    // the MX took the message
	Refused int    // it refused the message for what it is
	Other   int    // it was not delivered for another reason, or nobody knows
}

const (
	mostJudged = 5000
	mostJoined = 300 // whose transaction is looked up
)

// OfContent adds up what was judged in a time.
func OfContent(ctx context.Context, store history.Store, from, to time.Time) (*Content, error) {
	c := &Content{From: from}
	took := map[string][]time.Duration{}
	sums := map[string]*ScannerSums{}
	against := map[string]*Against{}
	of := history.EventsOf{From: from, To: to, Types: []string{"judged"}}
	for page := (history.Page{}); c.Judged < mostJudged; {
		lines, next, err := store.Events(ctx, of, page)
		if err != nil {
			return nil, err
		}
		for i := range lines {
			if e := &lines[i]; e.Content != nil {
				c.count(e, sums, took)
				if c.Judged <= mostJoined {
					if err := join(ctx, store, e, against); err != nil {
						return nil, err
					}
				}
			}
		}
		if page.After = next; next == "" {
			break
		}
	}
	for name, s := range sums {
		s.P50, s.P95 = quantiles(took[name])
		c.Scanners = append(c.Scanners, *s)
	}
	for _, a := range against {
		c.Against = append(c.Against, *a)
	}
	slices.SortFunc(c.Scanners, func(a, b ScannerSums) int { return cmp.Compare(a.Scanner, b.Scanner) })
	slices.SortFunc(c.Against, func(a, b Against) int { return cmp.Compare(a.Verdict, b.Verdict) })
	return c, nil
}

func (c *Content) count(e *event.Entry, sums map[string]*ScannerSums, took map[string][]time.Duration) {
	c.Judged++
	if c.Judged == mostJudged {
		c.From = e.At
	}
	for i := range e.Content.Scans {
		scan := &e.Content.Scans[i]
		s := sums[scan.Scanner]
		if s == nil {
			s = &ScannerSums{Scanner: scan.Scanner}
			sums[scan.Scanner] = s
		}
		s.Scans++
		switch {
		case scan.State != event.Scanned.String():
			s.Unheard++
			continue
		case scan.Virus != "" || isBad(scan.Action):
			s.Bad++
		default:
			s.Clean++
		}
		if !scan.Cached {
			took[scan.Scanner] = append(took[scan.Scanner], scan.Took.Duration())
		}
	}
}

func isBad(action string) bool {
	return slices.Contains([]string{"reject", "discard", "soft reject", "add header", "rewrite subject", "quarantine"}, action)
}

func quantiles(all []time.Duration) (p50, p95 time.Duration) {
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[(len(all)-1)/2], all[(len(all)*95-1)/100]
}

// join looks what the MX has said of a message.
func join(ctx context.Context, store history.Store, e *event.Entry, against map[string]*Against) error {
	attempts, _, err := store.Attempts(ctx, history.Filter{Session: e.Session}, history.Page{})
	if err != nil {
		return err
	}
	a := against[e.Content.Verdict]
	if a == nil {
		a = &Against{Verdict: e.Content.Verdict}
		against[e.Content.Verdict] = a
	}
	for i := range attempts {
		one := &attempts[i]
		if one.Number != e.Number {
			continue
		}
		switch {
		case one.Outcome == event.OutcomeDelivered.String(), one.Outcome == event.OutcomeOrphanAck.String():
			a.Taken++
		case one.Reply.Class == event.ContentRejected.String():
			a.Refused++
		default:
			a.Other++
		}
		return nil
	}
	a.Other++
	return nil
}
