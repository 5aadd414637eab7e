package find

import (
	"strings"
	"testing"

	"kanmon/internal/view/history"
)

// A mail to somebody whose address ends like that of the recipient of a bounce is not the bounce's.
func TestABounceIsOfItsRecipientAlone(t *testing.T) {
	for _, c := range []struct {
		address, named string
		is             bool
	}{
		{"bob@example.net", "Bob@Example.net", true},
		{"jim.bob@example.net", "bob@example.net", false},
		{"bob@example.net", "@example.net", true},
		{"@example.net", "@example.net", true},
		{"bob@sub.example.net", "@example.net", false},
		{"bob@notexample.net", "@example.net", false},
		{"bob", "@example.net", false},
		{"bob@example.net", "", false},
	} {
		if got := isOf(c.address, c.named); got != c.is {
			t.Errorf("%q of %q: %v", c.address, c.named, got)
		}
	}
	mail := func(id, to string) Mail {
		return Mail{Mail: history.Mail{ID: id, Attempts: []history.Attempt{{Recipients: []history.Recipient{{Address: to}}}}}}
	}
	left := concerned([]Mail{mail("1", "jim.bob@example.net"), mail("2", "bob@example.net")}, []history.Filter{{Recipient: "bob@example.net"}})
	if len(left) != 1 || left[0].ID != "2" {
		t.Errorf("%+v", left)
	}
}

// A bounce whose reply nobody on record has said may be of another mail, and the answer says so; what one recipient alone was told is such a reply, and what
// kanmon has told an MSA in place of one.
func TestABounceOfAReplyThatIsNotOnRecordIsSaidToBeUnlike(t *testing.T) {
	b := ParseBounce("<alice@example.net>: host mx2.example.net said: 550 5.1.1 no such user")
	later := ParseBounce("<alice@example.net>: host mx2.example.net said: 451 4.7.1 try again later")
	took := attempt(0, "delivered", "delivered", accepted)
	partly := attempt(0, "delivered", "refused", accepted)
	partly.Recipients[0].Code = 550
	others := attempt(0, "delivered", "refused", accepted)
	others.Recipients = append(others.Recipients, history.Recipient{Address: "bob@example.net", Fate: "refused", Code: 550})
	for name, c := range map[string]struct {
		bounce *Bounce
		a      history.Attempt
		unlike bool
	}{
		"refused so":             {b, attempt(0, "refused", "refused", refused), false},
		"delivered":              {b, took, true},
		"deferred":               {b, attempt(0, "deferred", "deferred", deferred), true},
		"he alone was refused":   {b, partly, false},
		"another one was":        {b, others, true},
		"softened":               {later, attempt(0, "deferred", "deferred", listed), false},
		"a warning, and refused": {later, attempt(0, "refused", "refused", refused), true},
		"no reply is quoted":     {ParseBounce("could not be delivered to: alice@example.net\n"), took, false},
	} {
		m := mailOf(history.Delivered, c.a)
		m.Guessed, m.Unlike = true, c.bounce.isUnlike(&m.Mail)
		for l := English; l < langCount; l++ {
			notes := strings.Join(Teller{Lang: l}.Tell(&Detail{Mail: m}).Notes, "\n")
			if m.Unlike != c.unlike || strings.Contains(notes, notesUnlike[l]) != c.unlike || strings.Contains(notes, notesGuessed[l]) == c.unlike {
				t.Errorf("%s: unlike %v, want %v: %s", name, m.Unlike, c.unlike, notes)
			}
		}
	}
}
