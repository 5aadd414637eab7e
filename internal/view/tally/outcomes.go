package tally

import "kanmon/internal/view/history"

// Outcomes are how many attempts came to what.
type Outcomes struct {
	Attempts  int64 `json:"attempts"`
	Delivered int64 `json:"delivered"`
	Deferred  int64 `json:"deferred"`
	Refused   int64 `json:"refused"`
	Unclear   int64 `json:"unclear"` // the MX has the message, or may have it, and its MSA was not told so
	Other     int64 `json:"other"`   // ended before anybody decided: by the MSA, or cut by kanmon

	First          int64 `json:"first"`           // attempts of mails that were new
	FirstDelivered int64 `json:"first_delivered"` // that were delivered at once
	Recipients     int64 `json:"recipients"`
	Octets         int64 `json:"octets"`
	Rescued        int64 `json:"rescued"`
	TLS            int64 `json:"tls"`
}

// Groups of outcomes, as docs/ref/record.md has these.
var groups = map[string][]string{
	"delivered": {"delivered"},
	"deferred":  {"deferred"},
	"refused":   {"refused"},
	"unclear":   {"ambiguous", "orphan_ack"},
	"other":     {"reset", "aborted", "withheld", "none"},
}

// OutcomesOf gives the outcomes of a group, by which its attempts are found.
func OutcomesOf(group string) []string { return groups[group] }

// Add counts.
func (o *Outcomes) Add(c *history.Count) {
	o.Attempts += c.Attempts
	o.First += c.First
	o.Recipients += c.Recipients
	o.Octets += c.Octets
	o.Rescued += c.Rescued
	o.TLS += c.TLS
	switch c.Outcome {
	case "delivered":
		o.Delivered += c.Attempts
		o.FirstDelivered += c.First
	case "deferred":
		o.Deferred += c.Attempts
	case "refused":
		o.Refused += c.Attempts
	case "ambiguous", "orphan_ack":
		o.Unclear += c.Attempts
	default:
		o.Other += c.Attempts
	}
}

// Part is how much of the attempts one number of them is, 0 to 1.
func (o Outcomes) Part(of int64) float64 { return part(of, o.Attempts) }

// AtOnce is how much of new mail was delivered at its first attempt, 0 to 1.
func (o Outcomes) AtOnce() float64 { return part(o.FirstDelivered, o.First) }

func part(of, all int64) float64 {
	if all == 0 {
		return 0
	}
	return float64(of) / float64(all)
}
