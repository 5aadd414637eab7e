package find

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Forms of a time of day that people write, in the zone of the place where no zone stands.
var timeForms = [...]string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02", "2006-01"}

// Time reads a time as people write it: a date, with or without a time of day, a time of day of today (one that is still to come: of
// yesterday), "now", or how long ago, as 30m, 24h, 7d or 2w.
func Time(written string, now time.Time, in *time.Location) (time.Time, error) {
	text := strings.TrimSpace(written)
	if text == "now" {
		return now, nil
	}
	if d, err := Duration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, form := range timeForms {
		if at, err := time.ParseInLocation(form, text, in); err == nil {
			return at, nil
		}
	}
	for _, form := range [...]string{"15:04", "15:04:05"} {
		if of, err := time.ParseInLocation(form, text, in); err == nil {
			y, m, d := now.In(in).Date()
			at := time.Date(y, m, d, of.Hour(), of.Minute(), of.Second(), 0, in)
			if at.After(now) {
				at = at.AddDate(0, 0, -1)
			}
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want a date such as 2026-07-01, with or without 14:30 behind it, a time of today such as 09:00, or how long ago, such as 30m, 24h, 7d", written)
}

// Duration reads a duration such as 90s, 30m, 24h, 7d, 2w, or 1d12h.
func Duration(written string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is no duration: want a number and s, m, h, d or w, such as 30m, 24h or 7d", written)
	var sum time.Duration
	rest := strings.TrimSpace(written)
	if rest == "" {
		return 0, wrong
	}
	for rest != "" {
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end <= 0 {
			return 0, wrong
		}
		n, err := strconv.Atoi(rest[:end])
		of := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[rest[end]]
		const most = 100 * 366 * 24 * time.Hour
		if err != nil || of == 0 || time.Duration(n) > (most-sum)/of {
			return 0, wrong
		}
		sum += time.Duration(n) * of
		rest = rest[end+1:]
	}
	return sum, nil
}

// Between reads the time that somebody asks about: since, or from and to. Where nothing is said it is the last of so long.
func Between(since, from, to string, usual time.Duration, now time.Time, in *time.Location) (begin, end time.Time, err error) {
	if since != "" && (from != "" || to != "") {
		return begin, end, fmt.Errorf("both --since and --from or --to are given: --since %s is --from %s to now", since, since)
	}
	end = now
	if to != "" {
		if end, err = Time(to, now, in); err != nil {
			return begin, end, fmt.Errorf("--to: %w", err)
		}
	}
	begin = end.Add(-usual)
	for name, text := range map[string]string{"--since": since, "--from": from} {
		if text != "" {
			if begin, err = Time(text, now, in); err != nil {
				return begin, end, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if !begin.Before(end) {
		return begin, end, fmt.Errorf("the time ends before it begins: from %s to %s", begin.Format(time.RFC3339), end.Format(time.RFC3339))
	}
	return begin, end, nil
}

// LongAgo is longer than history is kept.
const LongAgo = 10 * 366 * 24 * time.Hour
