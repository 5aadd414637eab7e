package session_test

import (
	"fmt"
	"io"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	own "kanmon/internal/smtp/replies"
)

// inspect asks the dialogue whether a message is judged.
func (p played) inspect(q session.Question) session.Inspection {
	if a := p.Ask("content", "data", fmt.Sprintf("recipients=%d", q.Recipients)); a.Has("inspect") {
		return &playedInspection{played: p, done: make(chan struct{})}
	}
	return nil
}

// playedInspection is the judgement of one message in a play.
type playedInspection struct {
	played
	done  chan struct{}
	says  session.Opinion
	grown int
}

func (i *playedInspection) Room(int, time.Duration) <-chan struct{} {
	wait, err := time.ParseDuration(i.Ask("content", "room")["wait"])
	if err != nil {
		return nil
	}
	ready := make(chan struct{})
	time.AfterFunc(wait, func() { close(ready) })
	return ready
}

func (i *playedInspection) Start() session.Start { return i.start("start") }
func (i *playedInspection) Full() session.Start  { return i.start("full") }

func (i *playedInspection) start(what string) (start session.Start) {
	a := i.Ask("content", what)
	for lane, word := range []string{"off", "behind", "hold", "tee"} {
		if a.Has(word) {
			start.Lane = event.Lane(lane)
		}
	}
	switch {
	case a.Has("defer"):
		start.Refuse, start.Say = session.RefuseNow, own.LimitReached.Say("this account", "content", "1", "retry later")
	case a.Has("refuse"):
		start.Refuse, start.Say = session.RefuseForGood, own.LimitReached.Say("this account", "content", "1", "retry later")
	}
	start.Dot, _ = time.ParseDuration(a["dot"]) // the dialogue has looked
	start.Pause, _ = time.ParseDuration(a["pause"])
	start.Told = &event.Content{Rule: "as the script says", Why: what}
	return start
}

func (i *playedInspection) Grow(octets int) bool {
	if i.Ask("content", "grow").Has("full") {
		return false
	}
	i.grown += octets
	return true
}

func (i *playedInspection) Judge(m session.Message) {
	words := []string{"verdict", fmt.Sprintf("octets=%d", m.Octets), fmt.Sprintf("recipients=%d", len(m.Recipients)), "from=" + m.Sender}
	octets, _ := io.ReadAll(m.Open())
	if int64(len(octets)) != m.Octets {
		words = append(words, "wrong")
	}
	i.Tell(fmt.Sprintf("content message %.200q", octets))
	a := i.Ask("content", words...)
	i.says = session.Opinion{Handle: event.HandleAccept, Pool: a["pool"], Told: &event.Content{Rule: "as the script says"}}
	switch {
	case a.Has("divert"):
		i.says.Handle = event.HandleDivert
	case a.Has("defer"):
		i.says.Handle, i.says.Say = event.HandleDefer, own.LimitReached.Say("this account", "content", "1", "retry later").As(451)
	case a.Has("refuse"):
		i.says.Handle, i.says.Say = event.HandleRefuse, own.LimitReached.Say("this account", "content", "1", "retry later")
	}
	if fields := a["fields"]; fields != "" {
		i.says.Fields = []byte(fields)
	}
	i.says.Told.Verdict = i.says.Handle
	wait, _ := time.ParseDuration(a["wait"])
	switch {
	case a.Has("never"):
	case wait > 0:
		time.AfterFunc(wait, func() { close(i.done) })
	default:
		close(i.done)
	}
}

func (i *playedInspection) Done() <-chan struct{}    { return i.done }
func (i *playedInspection) Verdict() session.Opinion { return i.says }

func (i *playedInspection) Close(came session.Came) {
	done := came.Done.String()
	if done == "" {
		done = "nothing"
	}
	i.Tell(fmt.Sprintf("content closed %s %d waited %s", done, came.Code, came.Waited.Round(time.Second)))
}
