package story

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"kanmon/internal/event/journal"
)

// "We observed for a week; may we enforce?": what a rule would have done is told to the last mail, by account, with what came of their mail.
func TestWouldHaveAgreesToTheLastMail(t *testing.T) {
	store, l := keep(t)
	s := l.Story("would have")
	p := newPage(t, store, journal.Mask{}, s.End.Add(time.Hour))
	in := "from=" + url.QueryEscape(stamp(s.Begin)) + "&to=" + url.QueryEscape(stamp(s.End.Add(time.Hour)))
	seen := 0
	for _, row := range rows(t, p.get(t, http.MethodGet, "/would.csv?"+in)) {
		if row["rule"] != "limit observed" {
			continue
		}
		seen++
		if want := s.Numbers[row["account"]]; row["times_there"] != strconv.Itoa(want) {
			t.Errorf("%s: %s times, want %d", row["account"], row["times_there"], want)
		}
		all := 0
		for _, n := range s.Numbers {
			all += n
		}
		if row["times"] != strconv.Itoa(all) || row["accounts"] != strconv.Itoa(len(s.Numbers)) || row["tenants"] != "2" || row["action"] != "would_defer" {
			t.Errorf("%v, want %d times of %d accounts of 2 tenants", row, all, len(s.Numbers))
		}
	}
	if seen != len(s.Numbers) {
		t.Errorf("%d accounts, want %d", seen, len(s.Numbers))
	}
}
