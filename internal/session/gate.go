package session

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/who/whose"
)

// A Gate decides who may send, and how much. A session asks it before it forwards a command, and inside a message where that names
// its account, and tells it what came of that.
type Gate interface {
	// Enter begins a session's way through the gate; the session closes it.
	Enter(Origin) Pass
}

// A Pass is one session's way through a [Gate]. One goroutine uses it. Nothing in it may block.
type Pass interface {
	Ask(Question) Decision
	Tell(News)
	Close()
}

// A Question is what a gate is asked.
type Question struct {
	Step      event.Step
	Sender    string     // of StepMail, as mailbox.Form gives it; "": the null sender
	Number    int        // of StepMail: of the transaction, as the records count
	Size      int64      // of StepMail: octets that the MSA announces; 0: not known
	SendingIP netip.Addr // of StepLeave
	Unseen    bool       // of StepConnect: the session is passed through, and this is the only question
	Instead   bool       // of StepLeave: another IP has been refused. It stays the mail's until there is News from this one; nobody can wait
	Recipient string     // of StepRecipient, as mailbox.Form gives it; behind mailbox.Unreadable stands what it could not read

	// Fields of StepAccount: what the message's fields of that name say, in their order. Anything but a true line end may stand in them.
	Fields []smtp.HeaderField
}

// A Decision is what a gate says. The zero Decision lets the command, or the message, pass.
type Decision struct {
	Refuse Refuse
	Say    replies.Said  // the reply with which it is refused
	Delay  time.Duration // it is held for so long first; at most [MaxDelay] in all
	Again  bool          // with Delay: then the gate is asked again
	Owner  *whose.Owner  // with StepConnect and StepMail: whose the session, or the mail, is; nil: nobody has asked
	Pool   string        // with StepMail: the mail leaves from this pool, whatever the routes say; "": as they say
	Header string        // with StepMail: name of the header field that says which account sent the message; "": none does
	Strip  bool          // with Header: the MX does not get to see these fields
	Must   bool          // with Header: StepAccount is asked about a message without such a field, too
	Notes  []event.Note  // for the record
	Whose  string        // with StepMail and StepAccount: the tenant whose mail it is, for the record; "": nobody knows
	Sender string        // likewise: the account

	Contained bool // with StepRescue: there is something against who sends the mail at hand; no other sending IP is spent on it
}

// Refuse says how a command is refused, or a message.
type Refuse uint8

// The ways to refuse.
const (
	RefuseNot     Refuse = iota
	RefuseNow            // 4xx: try again later
	RefuseForGood        // 5xx
)

// News is what came of a command that was let pass.
type News struct {
	Step       event.Step  // StepMail, StepRecipient; the message itself has StepMessage
	Code       int         // the MX's, as it gave it
	Class      event.Class // of a refusal, as judged
	Text       []byte      // of a refusal: as much of the reply as a record keeps, not sanitised, valid during the call
	Octets     int64       // of a message
	Recipients int         // of a message: that the MX accepted
	SendingIP  netip.Addr  // that it left from
	Own        bool        // the refusal is another kanmon's: no evidence of anybody's conduct
}

// gating is what a session has of its gate.
type gating struct {
	pass  Pass
	owner *whose.Owner  // whose the mail at hand is, or before any the session; nil: nobody has asked
	left  time.Duration // that the commands at hand may still be held for, all together
}

// MaxDelay is how long the commands of a group, or a message, can be held: well within the five minutes of an MSA (RFC 5321
// §4.5.3.2), and of the MX that waits. Behind the banner it is less: clients wait for it half a minute (I12).
const (
	MaxDelay    = time.Minute
	bannerDelay = 10 * time.Second
)

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
	if q.Step == event.StepConnect || q.Step == event.StepMail {
		s.gate.owner = d.Owner
	}
	if q.Step == event.StepMail || q.Step == event.StepAccount {
		s.log.whose(d.Whose, d.Sender)
	}
	if q.Step == event.StepMail {
		s.mail.pool = d.Pool
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
		if !d.Again || s.gate.left == 0 || s.e.Live.stopping() {
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
		return errUnfit
	}
	return nil
}

// contained says whether the gate has something against the sender of what has just been refused: as it is now, since the refusals
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

// gateReply gives the reply of a refusal, else nil: then no memory is needed for it.
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

// hold lets time pass. Whoever hangs up meanwhile, or a drain, is looked after by the next wait.
func (s *session) hold(d time.Duration) {
	s.log.handOver()
	s.mx.reply.Park()
	s.msa.park()
	s.mx.park()
	before := s.log.spendsIn(event.SpentHeld)
	defer func() { s.log.back(before) }()
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 || s.e.Live.stopping() || s.msaGone() {
			return
		}
		time.Sleep(min(left, s.lookIn(time.Second)))
	}
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
		news.Own = replies.IsOwn(news.Text, s.mail.sender, s.mail.recipient, s.info.HeloMSA, s.mx.info.HeloMX)
	}
	if step == event.StepMessage {
		news.Octets, news.Recipients = s.mail.octets, s.mail.accepted
	}
	return news
}

// tellReply is tell for the reply to a command of a transaction. What a group has for a transaction that is over is nobody's.
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
	if s.mail.state == mailDotted {
		s.gate.pass.Tell(News{Step: event.StepMessage, Octets: s.mail.octets, Recipients: s.mail.accepted, SendingIP: s.mx.info.SendingIP})
	}
}
