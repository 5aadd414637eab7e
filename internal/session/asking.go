package session

import (
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/who/whose"
)

// gating is what a session has of its gate.
type gating struct {
	pass  Pass
	owner *whose.Owner  // whose the mail at hand is, or before any the session; nil: nobody has asked
	pool  string        // that the mail at hand is to leave from; "": what the routes say
	left  time.Duration // that the commands at hand may still be held for, all together

	suspicion *event.Suspicion // of the mail at hand; nil: nobody has asked
}

// bannerDelay is how long a session can be held before its banner: clients wait for that half a minute (I12).
const bannerDelay = 10 * time.Second

// ask asks the gate about a command that is next. It returns the reply of a refusal, else nil. There may be a wait.
func (s *session) ask(cmd *smtp.Command, q Question) *smtp.Reply {
	if s.gate == nil {
		return nil
	}
	d := s.consult(q)
	if d.Delay > 0 {
		outlive(cmd)
		d = s.waitOut(q, d)
	}
	return s.gateReply(&d)
}

// outlive is called before each wait that comes while a command is being dispatched: the command's memory is the Reader's until then.
func outlive(cmd *smtp.Command) { *cmd = cmd.Clone() }

// consult asks the gate and keeps what it says for the record, and for the mail.
func (s *session) consult(q Question) Decision {
	d := s.gate.pass.Ask(q)
	for _, n := range d.Notes {
		s.log.decided(q.Step, n)
	}
	s.log.refuses(&d)
	if q.Step == event.StepConnect || q.Step == event.StepMail {
		s.gate.owner = d.Owner
	}
	if q.Step == event.StepMail || q.Step == event.StepAccount {
		s.log.whose(d.Whose, d.Sender)
		s.showsMail(d.Whose, d.Sender)
	}
	if d.Suspicion != nil {
		s.gate.suspicion = d.Suspicion
		s.log.suspects(d.Suspicion)
	}
	if q.Step == event.StepMail {
		s.gate.pool, s.mail.envelope.whole = d.Pool, d.Whole
		s.wantHeader(&d)
	}
	return d
}

// waitOut lets the delay of a decision pass, as far as there is time for it, and gives what holds then.
func (s *session) waitOut(q Question, d Decision) Decision {
	s.budget.hides()
	now := s.now()
	s.gate.left = max(0, min(s.gate.left, s.budget.spare(now)))
	for end := now + s.gate.left; d.Delay > 0 && s.gate.left > 0; {
		s.hold(min(d.Delay, s.gate.left))
		s.gate.left = max(0, end-s.now())
		s.talk.left = s.msaGone()
		if s.talk.left || !d.Again || s.gate.left == 0 || s.stops() {
			break
		}
		d = s.consult(q)
	}
	if d.Again {
		s.gate.pass.Tell(News{Step: event.StepGivenUp})
	}
	return d
}

// mayDelay begins what can be held for so long in all: a group of commands, or a message.
func (s *session) mayDelay(d time.Duration) {
	if s.gate != nil {
		s.gate.left = d
	}
}

func (s *session) askMail(cmd *smtp.Command) *smtp.Reply {
	if s.gate == nil {
		return nil
	}
	_, params, _ := cmd.Path()
	size, _ := announced(params)
	return s.ask(cmd, Question{Step: event.StepMail, Sender: s.mail.sender, Number: int(s.log.begun), Size: size})
}

// askFirst asks once more what speaks against the mail, now that its first recipient is known.
func (s *session) askFirst() {
	if s.gate != nil && s.gate.suspicion != nil {
		s.consult(Question{Step: event.StepFirst, Recipient: s.mail.recipient})
	}
}

// askLeave asks about the sending IP that the mail is to leave from.
func (s *session) askLeave(cmd *smtp.Command) *smtp.Reply {
	return s.ask(cmd, Question{Step: event.StepLeave, SendingIP: s.mx.info.SendingIP})
}

// mayLeave is askLeave behind a refusal, where nobody waits for the gate: a sending IP that has no room is passed over.
func (s *session) mayLeave() error {
	if s.gate == nil {
		return nil
	}
	refused := s.consult(Question{Step: event.StepLeave, SendingIP: s.mx.info.SendingIP, Instead: true}).Refuse != RefuseNot
	if s.log.rule = 0; refused { // the IP, not the mail
		return errUnlet
	}
	return nil
}

// contained reports whether the gate has something against the sender of what has just been refused: as it is now, since the refusals
// before this one may have been enough.
func (s *session) contained() bool {
	return s.gate.pass.Ask(Question{Step: event.StepRescue}).Contained
}

func (s *session) askRcpt(cmd *smtp.Command) *smtp.Reply {
	if s.gate == nil {
		return nil
	}
	return s.ask(cmd, Question{Step: event.StepRecipient, Recipient: s.recipientOf(*cmd)})
}

// gateReply returns the reply of a refusal, else nil: then no memory is needed for it.
func (s *session) gateReply(d *Decision) *smtp.Reply {
	var said replies.Said
	switch d.Refuse {
	case RefuseNow:
		said = d.Say.As(451)
	case RefuseForGood:
		said = d.Say.As(550)
	default:
		return nil
	}
	reply := said.Reply(s.e.Hostname)
	return &reply
}

// hold lets time pass. Whoever hangs up meanwhile, a drain, or an order to end, is looked after by the next wait.
func (s *session) hold(d time.Duration) {
	before := s.parkHeld()
	defer func() { s.log.back(before) }()
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 || s.stops() || s.msaGone() {
			return
		}
		time.Sleep(min(left, s.lookIn(time.Second)))
	}
}

// parkHeld holds as little as possible before a wait in which an MSA is held. It gives what the time was spent on before.
func (s *session) parkHeld() (before event.Spending) {
	s.log.handOver()
	s.mx.reply.Park()
	s.msa.park()
	s.mx.park()
	before = s.log.spendsIn(event.SpentHeld)
	s.shown.does(event.SpentHeld, s.now()) // whatever it is a part of
	return before
}

// tell passes the MX's reply on to the gate. The MSA has it already, or will have it whatever the gate thinks (I2).
func (s *session) tell(step event.Step, class event.Class) {
	if s.gate != nil {
		s.tellNews(s.news(step, class))
	}
}

// tellNews is tell for a reply that was read before.
func (s *session) tellNews(news News) {
	if s.gate != nil {
		s.gate.pass.Tell(news)
	}
}

// refusal keeps a refusal that another sending IP is tried for: if nothing comes of that before the session ends, it is the news.
func (s *session) refusal(step event.Step, judged Judgement) (news News) {
	if s.gate != nil && judged.Rescue {
		news = s.news(step, judged.Class)
	}
	return news
}

func (s *session) news(step event.Step, class event.Class) News {
	news := News{Step: step, Code: s.mx.reply.Code, SendingIP: s.mx.info.SendingIP}
	if s.mx.reply.Class() >= 4 {
		news.Class, news.Text = class, s.refusalText()
		news.Names = append(slices.Clip(s.saidSoFar()), s.mail.sender, s.mail.recipient)
		news.Own = replies.IsOwn(news.Text, s.mail.sender, s.mail.recipient, s.info.HeloMSA, s.mx.info.HeloMX)
	}
	if step == event.StepMessage {
		news.Octets, news.Recipients = s.mail.octets, int(s.mail.envelope.accepted)
	}
	return news
}

// tellReply tells the gate of the MX's reply to MAIL or RCPT, and of that to DATA if it is a refusal. Other commands are of no mail.
func (s *session) tellReply(verb smtp.Verb, class event.Class) {
	if verb == smtp.VerbDATA && s.mx.reply.Class() < 4 {
		return
	}
	if step := stepOf(verb); step != 0 {
		s.tell(step, class)
	}
}

// stepOf is what a reply to a command is news of; 0: of nothing.
func stepOf(verb smtp.Verb) event.Step {
	switch verb {
	case smtp.VerbMAIL:
		return event.StepMail
	case smtp.VerbRCPT:
		return event.StepRecipient
	case smtp.VerbDATA:
		return event.StepData
	default:
		return 0
	}
}

// tellGoodbye passes on that an MX which has a mail open has ended the session, unasked or in answer to what is no part of that.
func (s *session) tellGoodbye() {
	if s.mx.reply.Code == 421 && s.mail.state == mailOpen {
		s.tell(event.StepData, s.judge(event.PhaseBody, s.mx.reply.Code, nil).Class)
	}
}

// tellOver tells the gate that a transaction is over.
func (s *session) tellOver() {
	if s.gate != nil {
		s.gate.pass.Tell(News{Step: event.StepOver})
	}
}

// leaveGate ends the session's way through the gate. A dot without a reply may have been a message.
func (s *session) leaveGate() {
	defer s.gate.pass.Close() // whatever becomes of the news: what the session holds is given back
	defer s.mail.endContent()
	if s.mail.state == mailDotted {
		s.gate.pass.Tell(News{Step: event.StepMessage, Octets: s.mail.octets, Recipients: int(s.mail.envelope.accepted), SendingIP: s.mx.info.SendingIP})
	}
}
