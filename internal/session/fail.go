package session

import (
	"errors"
	"fmt"
	"net/netip"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
)

// trouble is what went wrong, seen from kanmon.
type trouble uint8

const (
	noTrouble      trouble = iota
	mxUnreachable          // the dial failed
	ipsSuspended           // there was no dial: no sending IP that the mail may leave from may be used at this MX now
	ipsMissing             // likewise: this host has none of them now
	portsExhausted         // likewise: they have no free source port toward this MX
	noRoomThere            // likewise: its provider takes no more from any of them now
	mxLost                 // EOF, RST, or a broken TLS stream
	mxSilent               // the phase's time ran out
	mxGarbled              // a malformed reply, one that was not asked for, or a code that cannot follow
	mxInjected             // octets behind the 220 to STARTTLS (CVE-2011-0411 mirrored)
	mxRefused              // its banner is a refusal, and the MSA is given that, or a temporary one in its place
	mxSaid                 // the MX's own reply ends the session: 421, or a refusal in the middle of the body
	msaLost                // the MSA hung up
	msaSilent              // the MSA sent no command in time
	msaStuck               // the MSA does not read its replies
	msaAbusive             // too many bad or empty commands
	msaForeign             // it does not speak SMTP
	msaLineFeed            // its lines end in LF alone
	msaTLS                 // the MSA's own handshake failed, or it sent octets ahead of it
	tooManyMails           // over kanmon's own limit of transactions
	bodySmuggled           // a look-alike of the end of data
	bodyTooBig             // over kanmon's own limit
	bodyUnwanted           // octets although no recipient was accepted (RFC 2920 §3.1: only a lone dot may follow)
	accountRefused         // the gate does not want a message of the account that its header names
	contentRefused         // there is no way on for a message that was held and has outgrown its room
	stopping               // kanmon drains
	cut                    // kanmon stops now
	byOrder                // a person has ordered this session to end
	passedThrough          // a stream that was passed through broke
	broken                 // a panic in kanmon
)

var troubleNames = [...]string{
	"", "mx_unreachable", "ips_suspended", "ips_missing", "ports_exhausted", "no_room", "mx_lost", "mx_silent", "mx_garbled", "mx_injected", "mx_refused", "mx_said", "msa_lost", "msa_silent", "msa_stuck",
	"msa_abusive", "msa_foreign", "msa_line_feed", "msa_tls", "too_many_mails", "body_smuggled", "body_too_big", "body_unwanted", "account_refused", "content_refused", "stopping", "cut", "ended",
	"passed_through", "broken",
}

// EndQuit is the reason of a session's end that is no trouble: the MSA said QUIT.
const EndQuit = "quit"

// EndReasons returns all reasons that an [event.End] can name. docs/ref/record.md explains each.
func EndReasons() []string {
	reasons := append([]string{EndQuit}, troubleNames[noTrouble+1:]...)
	for _, r := range refusals {
		reasons = append(reasons, refusedPrefix+r.reason)
	}
	return reasons
}

// A failure ends a session. The other errors of the engine, which it can go on behind, are refused, tlsFailure, and those that bear a name.
type failure struct {
	trouble trouble
	phase   event.Phase
	cause   error       // for the operator; nil if the trouble says it all
	reply   *smtp.Reply // with mxSaid and mxRefused: what the MX said; with mxLost, if any: what it said to EHLO before; with accountRefused and contentRefused: what kanmon does
	told    bool        // the MSA knows already
	parting parting     // how the MSA is left
}

func (f *failure) Error() string {
	if f.cause == nil {
		return fmt.Sprintf("%s at %s", troubleNames[f.trouble], f.phase)
	}
	return fmt.Sprintf("%s at %s: %v", troubleNames[f.trouble], f.phase, f.cause)
}

func (f *failure) Unwrap() error { return f.cause }

// answer decides what the MSA is told. No other function makes up a reply to a failure. ok is false if there is nobody to tell.
//
// Everything here is temporary but what the MSA itself did wrong: its queue is the only one there is, and must keep the mail.
func (f *failure) answer(mx netip.AddrPort, host string) (reply smtp.Reply, ok bool) {
	mail := f.phase == event.PhaseData && f.trouble == mxGarbled || f.phase == event.PhaseBody || f.phase == event.PhaseDot
	if f.told || f.parting != partInWords {
		return smtp.Reply{}, false
	}
	switch f.trouble {
	case msaLost, msaStuck, msaTLS, passedThrough:
		return smtp.Reply{}, false
	case mxSaid, mxRefused, accountRefused, contentRefused:
		return *f.reply, true
	}
	said := f.says(mx)
	if mail {
		said = said.As(451) // the reply belongs to this one transaction; the connection's end says the rest
	}
	return said.Reply(host), true
}

// says picks what kanmon itself says of a failure.
func (f *failure) says(mx netip.AddrPort) replies.Said {
	dot := f.phase == event.PhaseDot
	switch f.trouble {
	case mxUnreachable:
		return replies.Unreachable.Say(mx.String())
	case ipsSuspended:
		return replies.Suspended.Say().As(421)
	case ipsMissing:
		return replies.Missing.Say().As(421)
	case portsExhausted:
		return replies.PortsUsedUp.Say().As(421)
	case noRoomThere:
		return noRoom(f.cause).says().As(421)
	case mxLost:
		return atStep(replies.Lost, replies.LostAtDot, dot, mx, f.phase)
	case mxSilent:
		return atStep(replies.Silent, replies.SilentAtDot, dot, mx, f.phase)
	case mxGarbled:
		return atStep(replies.Garbled, replies.GarbledAtDot, dot, mx, f.phase)
	case mxInjected:
		return replies.Injected.Say(mx.String())
	case msaSilent:
		return replies.Idle.Say()
	case msaAbusive:
		return replies.Abusive.Say()
	case msaForeign:
		return replies.Foreign.Say()
	case msaLineFeed:
		return replies.LineFeed.Say()
	case bodySmuggled:
		return replies.Smuggled.Say()
	case bodyTooBig:
		return replies.TooBig.Say()
	case bodyUnwanted:
		return replies.Unwanted.Say()
	case stopping, cut:
		return replies.Stopping.Say()
	case byOrder:
		return replies.Ended.Say()
	default:
		return replies.Internal.Say()
	}
}

// atStep tells apart what has happened behind the dot: there only the MX knows whether it has the message.
func atStep(before, behind *replies.Entry, dot bool, mx netip.AddrPort, phase event.Phase) replies.Said {
	if dot {
		return behind.Say(mx.String())
	}
	return before.Say(mx.String(), phase.String())
}

// author is whose words the answer is.
func (f *failure) author() event.Side {
	if f.trouble == mxSaid || f.trouble == mxRefused {
		return event.ByMX
	}
	return event.ByKanmon
}

// drains reports whether a message under way is read to its end before the answer.
func (f *failure) drains() bool {
	switch f.trouble {
	case msaLost, msaSilent, msaStuck, stopping, cut, byOrder, broken:
		return false
	default:
		return true
	}
}

// outcome is what a transaction that was open when the failure struck has come to.
func (f *failure) outcome() event.Outcome {
	switch {
	case f.phase == event.PhaseDot && f.trouble == mxSaid:
		return event.OutcomeDeferred
	case f.phase == event.PhaseDot:
		return event.OutcomeAmbiguous
	case f.trouble == mxSaid && f.reply.Class() == 5:
		return event.OutcomeRefused
	case f.trouble <= mxSaid:
		return event.OutcomeDeferred
	default:
		return event.OutcomeAborted
	}
}

// side is whose doing it is.
func (f *failure) side() event.Side {
	switch {
	case f.trouble >= ipsSuspended && f.trouble <= noRoomThere:
		return event.ByKanmon
	case f.trouble >= mxUnreachable && f.trouble <= mxSaid:
		return event.ByMX
	case f.trouble >= msaLost && f.trouble <= msaTLS || f.trouble == bodySmuggled || f.trouble == bodyUnwanted:
		return event.ByMSA
	default:
		return event.ByKanmon
	}
}

// noSendingIP returns what a mail is told that no sending IP can be used for; nil: that was not the cause.
func (s *session) noSendingIP(err error) *smtp.Reply {
	var f *failure
	if !errors.As(err, &f) {
		return nil
	}
	switch f.trouble {
	case ipsSuspended:
		return &replySuspended
	case ipsMissing:
		return &replyMissing
	case portsExhausted:
		return &replyPorts
	case noRoomThere:
		return s.noRoomReply(noRoom(f.cause))
	case mxUnreachable:
		if errors.Is(f.cause, ErrNotYet) {
			return &replyElsewhere
		}
	}
	return nil
}

// strands is noSendingIP for a mail that is refused by that: it has the refusal name the rule, where want of room is the cause.
func (s *session) strands(err error) *smtp.Reply {
	if full := noRoom(err); full != nil {
		s.log.refusedBy(full.Note.Rule)
	}
	return s.noSendingIP(err)
}

// Replies of kanmon to commands that never reach the MX. Shared by all sessions, never changed.
var (
	replyBadSyntax    = replies.BadSyntax.Plain()
	replyBadOctet     = replies.BadOctet.Plain()
	replyUnknown      = replies.Unknown.Plain()
	replyNotOffered   = replies.NotOffered.Plain()
	replyNoTLSHere    = replies.TLSNotOffered.Plain()
	replyNoAuth       = replies.NoAuth.Plain()
	replyNoBDAT       = replies.NoBDAT.Plain()
	replyVRFY         = replies.CannotVRFY.Plain()
	replyHelp         = replies.Help.Plain()
	replyNeedName     = replies.NeedName.Plain()
	replyTooManyRcpts = replies.TooManyRecipients.Plain()
	replyNoTLS        = replies.NoTLS.Plain()
	replyTLSWanted    = replies.TLSWanted.Plain()
	replySuspended    = replies.Suspended.Plain()
	replyMissing      = replies.Missing.Plain()
	replyPorts        = replies.PortsUsedUp.Plain()
	replyNoMoreRcpts  = replies.NoMoreRecipients.Plain()
	replyElsewhere    = replies.Elsewhere.Plain()
	replyStopping     = replies.Stopping.Plain()
	replyEnded        = replies.Ended.Plain()
	replyTooManyMails = replies.TooManyMails.Plain()
	replyMXGone       = replies.Gone.Plain()
	replyMXRefused    = replies.Refused.Plain()
	replyGoAhead      = replies.GoAhead.Plain()
	replySend         = replies.Send.Plain()
	replyNoParams     = replies.NoParams.Plain()
	replyAhead        = replies.Ahead.Plain()
	replyTLSTwice     = replies.TLSTwice.Plain()
	replyOK           = replies.OK.Plain()
	replyNeedHello    = replies.NeedHello.Plain()
	replyNotNow       = replies.NotNow.Plain()
	replyNested       = replies.Nested.Plain()
	replyNeedMail     = replies.NeedMail.Plain()
	replyNeedRcpt     = replies.NeedRcpt.Plain()
	replyLacks        = replies.Lacks.Plain()
	replyBye          = replies.Bye.Plain()
)
