package days

import (
	"fmt"
	"strings"
	"time"
)

// A day is a UTC day: how many of them passed since 1970 began.
type day int32

const aDay = 24 * time.Hour

func dayOf(at time.Time) day { return day(at.Unix() / int64(aDay/time.Second)) }

func (d day) begin() time.Time { return time.Unix(int64(d)*int64(aDay/time.Second), 0).UTC() }

// A level is how much is left of a day.
type level uint8

const (
	counts  level = iota // roll-ups and news
	trouble              // and what was not delivered
	detail               // everything
)

var levels = [...]string{"counts", "trouble", "detail"}

// A day has one file, or for a moment two: the one with less is made before the other goes.
func (d day) file(l level) string { return d.begin().Format(time.DateOnly) + "." + levels[l] + ".db" }

// fileOf reads a name that file has given.
func fileOf(name string) (d day, l level, err error) {
	date, rest, _ := strings.Cut(name, ".")
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return 0, 0, err
	}
	for l := range detail + 1 {
		if rest == levels[l]+".db" {
			return dayOf(at), l, nil
		}
	}
	return 0, 0, fmt.Errorf("%s is no file of a day", name)
}

// An id is a line's number in its day: when it was, and which of that millisecond. So lines stand in order of time, and a part of a day is a range.
type id = int64

const perMilli = 1 << 12

func idAt(ms int64) id { return ms * perMilli }

func milliOf(at time.Time) int64 { return at.UnixMilli() - dayOf(at).begin().UnixMilli() }

// The number of a mail that no id names is that of its first attempt.
func mailOfFirst(d day, of id) int64 { return int64(d)<<40 | of }

func firstOfMail(mail int64) (d day, of id) { return day(mail >> 40), mail & (1<<40 - 1) }
