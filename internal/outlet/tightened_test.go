package outlet

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// said is a refusal of the sending IP that a session has.
func (s *roomySession) said(phase event.Phase, text string) session.MXRefusal {
	r := session.MXRefusal{SendingIP: s.out.SendingIP, Phase: phase, Code: 421, Text: []byte(text)}
	if phase >= event.PhaseMail {
		r.Sender = []byte("a@b.example")
	}
	if phase >= event.PhaseRcpt {
		r.Recipient, r.Domain = []byte("x@gmail.com"), "gmail.com"
	}
	return r
}

const tooManyAtOnce = "421 4.7.0 Too many concurrent connections from your host"

func TestAProviderThatSaysSoTakesHalf(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 4}))
		var told []Tightened
		w.tightened = func(t Tightened) { told = append(told, t) }
		var open []*roomySession
		for i := range 4 {
			s := w.session(event.ID(i+1), "")
			if full := s.dial(t); full != nil {
				t.Fatal(full)
			}
			open = append(open, s)
		}
		last := open[3]
		last.Judge(last.said(event.PhaseBanner, tooManyAtOnce))
		last.Judge(last.said(event.PhaseBanner, tooManyAtOnce)) // within ten minutes
		if len(told) != 1 || told[0].Provider != "google" || told[0].Count != event.Connections || told[0].Left != "2 connections" || told[0].Session != 4 || told[0].Rule == "" {
			t.Fatalf("told %+v", told)
		}
		open[0].Close()
		open[1].Close()
		if full := w.session(5, "").dial(t); full == nil {
			t.Error("two are open, as many as are left, and a third is dialled")
		}
		open[2].Close()
		if full := w.session(6, "").dial(t); full != nil {
			t.Error(full)
		}
	})(t)
}

// What nobody knows the amount of is known from then on, and a mail goes on in another connection before the MX says so again.
func TestMessagesOfAConnectionAreLearntFromTheReply(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.On))
		s := w.session(1, "")
		s.dial(t)
		s.req = session.DialRequest{Sender: "a@b.example", SenderKnown: true}
		for range 11 {
			if stay := s.MayStay(s.req, s.out.SendingIP); stay.Moves || stay.Full != nil {
				t.Fatalf("%+v", stay)
			}
		}
		s.Judge(s.said(event.PhaseMail, "421 4.7.0 Too many messages in this session"))
		if stay := s.MayStay(s.req, s.out.SendingIP); !stay.Anew {
			t.Errorf("behind the reply: %+v", stay)
		}
		s.hangUp()
		s.dial(t)
		for i := range 5 {
			if stay := s.MayStay(s.req, s.out.SendingIP); stay.Moves != (i == 4) {
				t.Errorf("mail %d of the next connection: %+v", i+2, stay)
			}
		}
	})(t)
}

// What may be anybody's word takes nothing from all that goes to a provider.
func TestOnlyTheProvidersOwnWordTightens(t *testing.T) {
	for name, change := range map[string]func(*session.MXRefusal){
		"a customer's":             func(r *session.MXRefusal) { r.Recipient, r.Domain = []byte("x@hosted.example"), "hosted.example" },
		"of several customers":     func(r *session.MXRefusal) { r.Phase, r.Domain = event.PhaseData, "" },
		"what the message may say": func(r *session.MXRefusal) { r.Phase = event.PhaseDot },
		"another kanmon's": func(r *session.MXRefusal) {
			r.Text = []byte("451 4.4.5 kanmon: too many concurrent connections from your host")
		},
		"of something else":         func(r *session.MXRefusal) { r.Text = []byte("451 4.3.0 mail server temporarily rejected message") },
		"a rate that nobody knows":  func(r *session.MXRefusal) { r.Text = []byte("450 4.7.1 You are sending too fast, slow down") },
		"too many of one recipient": func(r *session.MXRefusal) { r.Text = []byte("452 4.5.3 Too many recipients") },
	} {
		t.Run(name, roomTest(func(t *testing.T) {
			w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 4}))
			w.tightened = func(got Tightened) { t.Errorf("%s left at %s, by %s", got.Left, got.Provider, got.Rule) }
			s := w.session(1, "a@b.example")
			s.dial(t)
			r := s.said(event.PhaseRcpt, tooManyAtOnce)
			change(&r)
			s.Judge(r)
			if shown := w.Shaped(s.out.SendingIP); len(shown) != 1 || shown[0].Now != 4 {
				t.Errorf("%+v", shown)
			}
		}))
	}
}

// A rate that is known is halved by a reply that says too fast, also at the dot where its words were looked for in the message.
func TestARateIsHalved(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.Observe, shape.Limit{Count: shape.Messages, Amount: 60, Per: time.Minute}))
		s := w.session(1, "a@b.example")
		s.dial(t)
		r := s.said(event.PhaseDot, "450 4.7.1 You are sending too fast, slow down")
		r.Message = func() []byte { return []byte("Subject: x\r\n\r\nx\r\n") }
		s.Judge(r)
		shown := w.Shaped(s.out.SendingIP)
		i := slices.IndexFunc(shown, func(s Shaped) bool { return s.Count == shape.Messages })
		if i < 0 || shown[i].Now != 30 || shown[i].Amount != 60 || !shown[i].Tightened() {
			t.Errorf("%+v", shown)
		}
	})(t)
}

// What a provider found too much is known to the next process.
func TestWhatIsLeftOutlivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standing.db")
	for i, want := range []int64{4, 2} {
		store, err := standing.OpenSQLite(path)
		if err != nil {
			t.Fatal(err)
		}
		_, state, end := sending("203.0.113.10").begin(t, part{store: store})
		takes := shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 4}).Takes[0]
		if got := state.rooms.Amount(takes, shape.Connections, weighted("203.0.113.10").Address); got != want {
			t.Errorf("process %d: %d connections at once, want %d", i, got, want)
		}
		state.rooms.Tighten(takes, weighted("203.0.113.10").Address, shape.Connections, nil)
		for _, err := range append(end(), store.Close()) {
			if err != nil {
				t.Error(err)
			}
		}
	}
}
