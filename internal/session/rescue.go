package session

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"kanmon/internal/smtp"
)

// Rescue: an MX has refused, and the refusal is about our sending IP. Before the MSA hears of it, another MX leg is opened
// from another sending IP, the transaction so far is said again there, and the session goes on as if nothing had been. The leg
// that refused is set aside until that has worked; if it does not, all is as before and the MSA gets the refusal.

// rescuing is what a session keeps for it. Without a [Judge] it stays empty.
type rescuing struct {
	tried    []netip.Addr // sending IPs that this MX has refused in this session
	attempts int          // in this transaction, or during the opening
	judged   Judgement    // of the last refusal
	group    []byte       // the commands of the group at hand that were forwarded
	envelope []byte       // what the MX has accepted of the transaction: lines of MAIL and RCPT
	promised promise
}

// A promise is what the MSA has been told that the MX can do (I9).
type promise struct {
	has    keyword
	size   uint64 // 0: no limit named
	limits string
}

// replays says whether a session may have to say a transaction again to another MX leg.
func (e *Engine) replays() bool { return e.Judge != nil || e.Mover != nil }

func (s *session) promise() {
	if s.e.replays() {
		s.rescue.promised = promise{s.caps.has, sizeOf(&s.caps), string(s.caps.limits)}
	}
}

func sizeOf(c *capabilities) uint64 {
	n, _ := strconv.ParseUint(string(c.size), 10, 64)
	return n
}

// keeps says whether another MX leg can do all that was promised. How fast commands may follow each other is kanmon's business.
func (p *promise) keeps(c *capabilities) bool {
	const others = kwPipelining | kwStartTLS | kwLimits
	size := sizeOf(c)
	switch {
	case p.has&^others&^c.has != 0:
		return false
	case size > 0 && (p.size == 0 || size < p.size):
		return false
	default:
		return !c.offers(kwLimits) || string(c.limits) == p.limits
	}
}

// judge asks what a refusal means. The line is the command that was refused; nil if it was none of a transaction.
func (s *session) judge(phase Phase, code int, text, line []byte) Judgement {
	if s.e.Judge == nil {
		return Judgement{}
	}
	r := MXRefusal{
		Source: s.info.Source.Addr(), Destination: s.info.Destination, SendingIP: s.info.SendingIP, Phase: phase, Code: code, Text: text,
	}
	for rest := append(bytes.Clone(s.rescue.envelope), line...); len(rest) > 0; {
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		cmd, _ := smtp.ParseCommand(one)
		mailbox, _, _ := cmd.Path()
		switch cmd.Verb {
		case smtp.VerbMAIL:
			r.Sender = append([]byte{}, mailbox...)
		case smtp.VerbRCPT:
			r.Recipient = mailbox
		}
	}
	j := s.e.Judge.Judge(r)
	s.rescue.judged = j
	return j
}

// judgeReply is judge for the reply just read.
func (s *session) judgeReply(phase Phase, line []byte) Judgement {
	if s.e.Judge == nil || s.reply.Class() < 4 {
		return Judgement{}
	}
	return s.judge(phase, s.reply.Code, s.reply.AppendRaw(nil), line)
}

// soften makes the refusal just read a temporary one, if that is what was judged of it.
func (s *session) soften(phase Phase, j Judgement) {
	if !j.Soften || s.reply.Class() != 5 {
		return
	}
	action, text := s.action(phase, s.reply.Code, j)
	if action.Did = Softened; j.Observe {
		action.Did = WouldSoften
	}
	s.log.acted(action, text)
	if j.Observe {
		return
	}
	s.log.reply(MarkFromMX, &s.reply, s.first, s.took())
	s.reply.Soften()
	if phase == PhaseBanner {
		s.reply.Code = 421 // the only temporary code that a banner can have (RFC 5321 §4.3.2)
	}
}

// openingRefusal says what refused, if that is how the MX leg failed to open.
func (s *session) openingRefusal(err error) (phase Phase, code int, refused bool) {
	var f *failure
	switch {
	case err == nil:
		return PhaseBanner, s.reply.Code, s.stage == stageBanner && s.reply.Class() >= 4
	case errors.Is(err, errRefused):
		return s.refusedIn, s.reply.Code, true
	case errors.Is(err, errBannerRefused):
		return PhaseBanner, s.reply.Code, true
	case !errors.As(err, &f):
		return 0, 0, false
	case f.trouble == mxSaid:
		return f.phase, s.reply.Code, true
	case f.trouble == mxUnreachable || f.trouble == mxLost: // some providers say it with a RST
		return f.phase, 0, errors.Is(f.cause, syscall.ECONNREFUSED) || errors.Is(f.cause, syscall.ECONNRESET)
	default:
		return 0, 0, false
	}
}

// rescueOpening tries other sending IPs when the MX has refused before any mail was spoken of. It gives what openMX gives.
func (s *session) rescueOpening(goal stage, err error) error {
	phase, code, refused := s.openingRefusal(err)
	if !refused || s.e.Judge == nil {
		return err
	}
	var text []byte
	if code > 0 {
		text = s.reply.AppendRaw(nil)
	}
	j := s.judge(phase, code, text, nil)
	rescued, ended := s.tryOthers(phase, code, j, func() error {
		if err := s.openAsFar(goal); err != nil {
			return err
		}
		if !s.reply.Positive() {
			s.refusedIn = PhaseBanner
			return errRefused
		}
		return s.stillFits(goal)
	})
	switch {
	case ended != nil:
		return ended
	case rescued:
		return nil
	}
	s.soften(phase, j)
	var f *failure
	if errors.As(err, &f) && f.trouble == mxSaid {
		return s.saidGoodbye(phase)
	}
	return err
}

// stillFits is asked of another leg when the MSA has been told already what the MX can do.
func (s *session) stillFits(goal stage) error {
	if goal == stageReady && (s.noMail != nil || s.rescue.promised.has != 0 && !s.rescue.promised.keeps(&s.caps)) {
		return errUnfit
	}
	return nil
}

// errUnfit says that another MX leg cannot take the place of the one that refused.
var errUnfit = errors.New("the other connection offers less")

// rescueGroup continues a transaction through another sending IP: the command of a slot was refused, and is said again there,
// with all that follow it in its group.
func (s *session) rescueGroup(from int, phase Phase, j Judgement) (rescued bool, ended error) {
	return s.tryOthers(phase, s.reply.Code, j, func() error {
		if err := s.reopen(); err != nil {
			return err
		}
		s.mx.out = s.mx.buffer()
		for i := range s.slots[from:] {
			if sl := &s.slots[from+i]; sl.local == nil {
				s.mx.out = append(append(s.mx.out, sl.line(s)...), '\r', '\n')
				s.log.line(MarkToMX, sl.line(s))
			}
		}
		return s.sendToMX(phase)
	})
}

// reopen opens another leg and says there what the MX before has accepted of the transaction. Only if all of it is
// accepted again can that leg take over (I5).
func (s *session) reopen() error {
	if err := s.openAsFar(stageReady); err != nil {
		return err
	}
	if err := s.stillFits(stageReady); err != nil {
		return err
	}
	for rest := s.rescue.envelope; len(rest) > 0; {
		batch := 1
		if s.caps.offers(kwPipelining) {
			batch = maxReplayed
		}
		var err error
		if rest, err = s.replay(rest, batch); err != nil {
			return err
		}
	}
	return nil
}

// maxReplayed is how many commands are sent ahead: their replies fit into any socket.
const maxReplayed = 50

// replay says up to n commands of the envelope and demands that each is accepted. It gives what is left.
func (s *session) replay(envelope []byte, n int) (rest []byte, err error) {
	rest = envelope
	var phases []Phase
	s.mx.out = s.mx.buffer()
	for range n {
		if len(rest) == 0 {
			break
		}
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		s.log.line(MarkMadeForMX, line)
		s.mx.out = append(append(s.mx.out, line...), '\r', '\n')
		cmd, _ := smtp.ParseCommand(line)
		phases = append(phases, phaseOf(cmd.Verb))
	}
	if err := s.sendToMX(phases[0]); err != nil {
		return nil, err
	}
	for _, phase := range phases {
		if err := s.readReply(phase); err != nil {
			return nil, err
		}
		s.log.reply(MarkFromMX, &s.reply, s.first, s.took())
		if !s.reply.Positive() {
			s.refusedIn = phase
			return nil, errRefused
		}
	}
	return rest, nil
}

// tryOthers sets the leg that refused aside and tries other sending IPs until one can take over. If none can, all is as before.
// An error means that the session must end: its MSA has gone, or kanmon stops.
func (s *session) tryOthers(phase Phase, code int, j Judgement, takeOver func() error) (rescued bool, ended error) {
	limit := s.e.Rescue.attempts()
	if !j.Rescue || s.rescue.attempts >= limit || s.orphan {
		return false, nil
	}
	action, text := s.action(phase, code, j)
	if j.Observe {
		action.Did = WouldRescue
		s.log.acted(action, text)
		return false, nil
	}
	begun := time.Now()
	outer := s.hiddenBy
	s.hideUntil(begun.Add(s.rescueTime(phase)))
	held := s.setAside()
	var why error
	for s.rescue.attempts < limit && time.Now().Before(s.hiddenBy) {
		s.rescue.attempts++
		s.rescue.tried = append(s.rescue.tried, s.info.SendingIP)
		if why = takeOver(); why == nil {
			s.hiddenBy = outer
			action.Did, action.To, action.Took = Rescued, s.info.SendingIP, time.Since(begun)
			s.log.acted(action, text)
			s.log.notef("%s goes on from %s instead of %s (%s)", phase, action.To, action.SendingIP, j.Class)
			s.drop(&held)
			return true, nil
		}
		if ends(why) {
			s.drop(&held)
			return false, why
		}
		if !s.worthAnother(why) {
			break
		}
		s.closeMX()
	}
	s.hiddenBy = outer
	s.takeBack(&held)
	action.Did, action.Took = RescueFailed, time.Since(begun)
	if why != nil {
		action.Why = why.Error()
	}
	s.log.acted(action, text)
	return false, nil
}

// action begins the record of what is done about the refusal at hand.
func (s *session) action(phase Phase, code int, j Judgement) (Action, []byte) {
	a := Action{
		At: time.Since(s.info.Start), Phase: phase, SendingIP: s.info.SendingIP, Code: code, Class: j.Class, Rule: j.Rule,
	}
	if code == 0 {
		return a, nil
	}
	return a, s.reply.AppendRaw(nil)
}

// worthAnother says, of an attempt that failed, whether yet another sending IP may fare better.
func (s *session) worthAnother(err error) bool {
	if errors.Is(err, ErrNoOtherIP) || errors.Is(err, errUnfit) {
		return false
	}
	phase, code, refused := s.openingRefusal(err)
	if !refused {
		return true
	}
	var text []byte
	if code > 0 {
		text = s.reply.AppendRaw(nil)
	}
	return s.judge(phase, code, text, nil).Rescue
}

// ends says whether an error is one that the session cannot survive, whatever becomes of its MX.
func ends(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.trouble > mxSaid
}

// rescueTime bounds all attempts together: the MSA is waiting (I12).
func (s *session) rescueTime(phase Phase) time.Duration {
	if phase <= PhaseBanner {
		return min(s.e.Rescue.time(), maxBehindBanner-time.Since(s.info.Start))
	}
	return s.e.Rescue.time()
}

// hideUntil lowers the time at which what the MSA does not see must be over.
func (s *session) hideUntil(end time.Time) {
	if s.hiddenBy.IsZero() || end.Before(s.hiddenBy) {
		s.hiddenBy = end
	}
}

// A heldLeg is an MX leg that has been set aside, with all that is known of it.
type heldLeg struct {
	leg         leg
	stage       stage
	caps        capabilities
	ehloRefused bool
	noMail      *smtp.Reply
	info        SessionInfo
	reply       smtp.Reply
	sent        time.Time
	first       time.Duration
}

// setAside takes the MX leg out of the session, so that another can be opened.
func (s *session) setAside() heldLeg {
	h := heldLeg{
		leg: s.mx, stage: s.stage, caps: s.caps, ehloRefused: s.ehloRefused, noMail: s.noMail, info: s.info,
		reply: s.reply.Clone(), sent: s.sent, first: s.first,
	}
	s.mx, s.stage, s.ehloRefused, s.noMail, s.info.MX = leg{}, stageNone, false, nil, TLSRecord{}
	s.reply = smtp.Reply{} // capabilities may point into the old one
	return h
}

// takeBack puts a leg back that was set aside, in place of the present one.
func (s *session) takeBack(h *heldLeg) {
	s.closeMX()
	s.mx, s.stage, s.caps, s.ehloRefused, s.noMail = h.leg, h.stage, h.caps, h.ehloRefused, h.noMail
	s.info.SendingIP, s.info.Local, s.info.HeloMX, s.info.MX = h.info.SendingIP, h.info.Local, h.info.HeloMX, h.info.MX
	s.info.Phases = h.info.Phases
	s.reply, s.sent, s.first = h.reply, h.sent, h.first
	if s.mx.open() {
		s.cuts.Store(&s.mx.base)
	}
}

// drop closes a leg that was set aside and has been replaced.
func (s *session) drop(h *heldLeg) {
	s.mx, h.leg = h.leg, s.mx
	if s.mx.open() {
		s.log.fromMX += s.mx.total()
		s.log.toMX += s.mx.written
	}
	s.mx.close()
	s.mx = h.leg
}

// accepted notes a command that the MX has said yes to, for a replay.
func (s *session) accepted(sl *slot) {
	if !s.e.replays() {
		return
	}
	if sl.verb == smtp.VerbMAIL {
		s.rescue.envelope = s.rescue.envelope[:0]
	}
	s.rescue.envelope = append(append(s.rescue.envelope, sl.line(s)...), '\r', '\n')
}

// forgetTransaction is the end of a transaction, for whatever reason.
func (s *session) forgetTransaction() {
	s.tx = transaction{}
	s.rescue.envelope = s.rescue.envelope[:0]
	s.forgetBody()
}

// line is the command of a slot as it was forwarded.
func (sl *slot) line(s *session) []byte { return s.rescue.group[sl.begin:sl.past] }
