package session_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A namer is a gate that lets everything pass, and a recorder, and notes by which names each knows a session and its mails.
type namer struct {
	mu               sync.Mutex
	asked, recorded  []int // numbers of mails
	entered, written []event.ID
}

func (n *namer) Enter(o session.Origin) session.Pass {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entered = append(n.entered, o.Session)
	return n
}

func (n *namer) Ask(q session.Question) session.Decision {
	n.mu.Lock()
	defer n.mu.Unlock()
	if q.Step == event.StepMail {
		n.asked = append(n.asked, q.Number)
	}
	return session.Decision{}
}

func (*namer) Tell(session.News) {}
func (*namer) Close()            {}

func (n *namer) Record(r *event.Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Transaction != nil {
		n.recorded, n.written = append(n.recorded, r.Transaction.Number), append(n.written, r.Session.ID)
	}
	r.Release()
}

// The gate knows a session and its mails by the names that they have in the records: what it decides can be found there.
func TestTheGateKnowsAMailByItsNameInTheRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := newWorld(t), &namer{}
		w.engine.Gate, w.engine.Recorder = n, n
		msa := smtptest.NewMSA(t, w.connect())
		for range 3 {
			if d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !d.All(smtptest.Accepted) {
				t.Fatal(d)
			}
			msa.Command("NOOP")
		}
		_ = msa.Quit()
		w.close()
		if !slices.Equal(n.asked, []int{1, 2, 3}) || !slices.Equal(n.recorded, n.asked) {
			t.Errorf("asked about %v, recorded %v", n.asked, n.recorded)
		}
		if len(n.entered) != 1 || len(n.written) != 3 || n.written[0] != n.entered[0] || n.written[2] != n.entered[0] || n.entered[0] == 0 {
			t.Errorf("entered as %v, recorded as %v", n.entered, n.written)
		}
	})
}
