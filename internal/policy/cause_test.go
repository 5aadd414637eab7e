package policy

import (
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// What a session's mail brings about is told as that mail's: the level of its sender, also where a header names the account, and a block by a limit.
func TestWhatAMailBringsAboutNamesIt(t *testing.T) {
	block := rule("hour", limit.PerAccount, 5)
	block.Action, block.Tenants = limit.Block, []string{"acme"}
	s := settingsWith(block)
	s.Containment.Policy = contain.DefaultNumbers()
	s.Accounts = func(tenant string) *Accounts {
		if tenant == "blue" {
			return &Accounts{Header: "X-Auth-User"}
		}
		return nil
	}
	r := newRig(t, s, nil)
	var blocked []Change
	r.ordered = func(c Change, _ bool) { blocked = append(blocked, c) }
	number := 0
	mail := func(id event.ID, from, source, class string, named ...string) session.Decision {
		number++
		v := &visit{Pass: r.Gate().Enter(session.Origin{Source: addrPort(source), Destination: mx, Session: id}), r: r}
		defer v.Close()
		v.ask(session.Question{Step: event.StepConnect})
		d := v.ask(session.Question{Step: event.StepMail, Sender: from, Number: number})
		if d.Refuse != session.RefuseNot {
			return d
		}
		v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
		v.ask(session.Question{Step: event.StepRecipient, Recipient: many(number)[number-1]})
		v.Tell(news(event.StepRecipient, class))
		if len(named) > 0 {
			v.ask(session.Question{Step: event.StepAccount, Fields: saying(named...)})
		}
		v.Tell(session.News{Step: event.StepOver})
		return d
	}
	// One provider alone needs fifty.
	for len(r.detector.Decisions(0)) == 0 && number < 100 {
		mail(event.ID(1000+number), "eve@blue.example", "10.0.2.1", "recipient_invalid", "bob@blue.example")
	}
	last := number
	if all := r.detector.Decisions(0); len(all) != 1 || all[0].Subject.Account != "bob@blue.example" || all[0].Cause != (contain.Cause{Session: uint64(1000 + last - 1), Transaction: last}) {
		t.Errorf("behind transaction %d: %+v", last, all)
	}
	for mail(event.ID(2000+number), "a@acme.example", "10.0.1.1", "").Refuse == session.RefuseNot {
		if number > last+50 {
			t.Fatal("the limit blocks nobody")
		}
	}
	if len(blocked) != 1 || blocked[0].Cause != (contain.Cause{Session: uint64(2000 + number - 1), Transaction: number}) {
		t.Errorf("behind transaction %d: %+v", number, blocked)
	}
}
