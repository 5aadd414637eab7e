package classify

import (
	"bytes"
	"strconv"
	"time"
)

// maxRetry bounds what a reply may ask for. No queue keeps mail longer than a few days (RFC 5321 §4.5.4.1).
const maxRetry = 5 * 24 * time.Hour

// units are the words for time that replies use.
var units = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hour": time.Hour, "hours": time.Hour, "hr": time.Hour, "hrs": time.Hour,
	"day": 24 * time.Hour, "days": 24 * time.Hour,
}

// retryAfter finds "in 300 seconds", "for 5 minutes", "after 1 hour" in a normalised text; 0 if it says nothing.
func retryAfter(text []byte) time.Duration {
	var before, number []byte
	for word := range bytes.FieldsSeq(text) {
		if number != nil {
			if unit, ok := units[string(word)]; ok {
				n, err := strconv.Atoi(string(number))
				if err == nil && n > 0 && time.Duration(n) <= maxRetry/unit {
					return time.Duration(n) * unit
				}
			}
		}
		switch string(before) {
		case "in", "for", "after", "wait", "within", "least", "until":
			number = word
		default:
			number = nil
		}
		before = word
	}
	return 0
}
