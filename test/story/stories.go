package story

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// A teller tells one story.
type teller struct {
	*Story
	w      *world
	rand   *rand.Rand
	drafts []*draft
}

// story begins one.
func (w *world) story(name, what string, begin, end time.Time) *teller {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	s := &teller{Story: &Story{Name: name, What: what, Begin: begin, End: end, Numbers: make(map[string]int)}, w: w, rand: rand.New(rand.NewPCG(w.Seed, h.Sum64()))} //nolint:gosec // it is to be the same each time
	w.tellers = append(w.tellers, s)
	return s
}

// close draws up what has become of the story's mails.
func (s *teller) close() {
	for _, d := range s.drafts {
		if len(d.Attempts) == 0 {
			continue
		}
		d.State = d.state(s.w.ledger.To)
		s.Mails = append(s.Mails, d.Mail)
	}
}

// stories has all of them go on.
func (w *world) stories() {
	w.fifthTry()
}

func (w *world) fifthTry() {
	s := w.story("fifth try", "a mail is refused for good at the MSA's fifth try", w.day(4, "10:00"), w.day(4, "12:00"))
	m := s.mail("acme", "anna", "keiko.fifth@strict.example")
	for _, at := range []string{"10:00", "10:05", "10:15", "10:35"} {
		m.at(w.day(4, at), atRcpt("450 4.7.1 <keiko.fifth@strict.example>: Recipient address rejected: try again later"))
	}
	m.at(w.day(4, "11:15"), atDot("550 5.7.1 Message rejected as spam by content filter"))
}
