package session

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/smtp"
)

// trouble is what went wrong, seen from kanmon.
type trouble uint8

const (
	noTrouble      trouble = iota
	mxUnreachable          // the dial failed
	ipsSuspended           // there was no dial: no sending IP that the mail may leave from may be used at this MX now
	mxLost                 // EOF, RST, or a broken TLS stream
	mxSilent               // the phase's time ran out
	mxGarbled              // a malformed reply, one that was not asked for, or a code that cannot follow
	mxInjected             // octets behind the 220 to STARTTLS (CVE-2011-0411 mirrored)
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
	stopping               // kanmon drains
	cut                    // kanmon stops now
	passedThrough          // a stream that was passed through broke
	broken                 // a panic in kanmon
)

var troubleNames = [...]string{
	"", "mx_unreachable", "ips_suspended", "mx_lost", "mx_silent", "mx_garbled", "mx_injected", "mx_said", "msa_lost", "msa_silent", "msa_stuck",
	"msa_abusive", "msa_foreign", "msa_line_feed", "msa_tls", "too_many_mails", "body_smuggled", "body_too_big", "body_unwanted", "account_refused", "stopping", "cut",
	"passed_through", "broken",
}

// Reasons of a session's end that are no trouble.
const (
	EndQuit      = "quit"       // the MSA said QUIT
	endMXRefused = "mx_refused" // it did, or hung up, after the MX had refused the connection with its banner
)

// EndReasons gives all reasons that a [SessionEnd] can name. docs/record.md explains each.
func EndReasons() []string {
	reasons := append([]string{EndQuit, endMXRefused}, troubleNames[noTrouble+1:]...)
	for _, r := range refusals {
		reasons = append(reasons, refusedPrefix+r.reason)
	}
	return reasons
}

// A failure ends a session. It is the only error that the engine's own functions return.
type failure struct {
	trouble trouble
	phase   Phase
	cause   error       // for the operator; nil if the trouble says it all
	reply   *smtp.Reply // with mxSaid: what the MX said; with mxLost, if any: what it said to EHLO before; with accountRefused: what the gate did
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
	mail := f.phase == PhaseData && f.trouble == mxGarbled || f.phase == PhaseBody || f.phase == PhaseDot
	if f.told || f.parting != partInWords {
		return smtp.Reply{}, false
	}
	code := 421
	if mail {
		code = 451 // the reply belongs to this one transaction; the connection's end says the rest
	}
	say := func(enhanced, text string) (smtp.Reply, bool) {
		return ownReply(code, enhanced, text, host), true
	}
	switch f.trouble {
	case msaLost, msaStuck, msaTLS, passedThrough:
		return smtp.Reply{}, false
	case mxSaid, accountRefused:
		return *f.reply, true
	case mxUnreachable:
		return say("4.4.1", "cannot connect to "+mx.String()+", try again later")
	case ipsSuspended:
		return say("4.7.1", suspendedText)
	case mxLost:
		if f.phase == PhaseDot {
			return say("4.4.2", "connection to "+mx.String()+" lost, state unknown")
		}
		return say("4.4.2", "connection to "+mx.String()+" lost at "+f.phase.String())
	case mxSilent:
		return say("4.4.2", mx.String()+" did not answer in time at "+f.phase.String())
	case mxGarbled:
		return say("4.5.0", mx.String()+" broke the protocol at "+f.phase.String())
	case mxInjected:
		return say("4.7.0", mx.String()+" sent octets ahead of TLS")
	case msaSilent:
		return say("4.4.2", "idle for too long, closing")
	case msaAbusive:
		return say("4.7.0", "too many commands that carry no mail, closing")
	case msaForeign:
		return smtp.NewReply(554, "5.5.0", ownMark+"this is SMTP"), true
	case msaLineFeed:
		return smtp.NewReply(500, "5.5.2", ownMark+"lines must end in CRLF, not in LF alone; closing"), true
	case bodySmuggled:
		return smtp.NewReply(550, "5.6.0", ownMark+"message holds a dot between line ends that are not CRLF"), true
	case bodyTooBig:
		return smtp.NewReply(552, "5.3.4", ownMark+"message too big"), true
	case bodyUnwanted:
		return smtp.NewReply(554, "5.5.1", ownMark+"no valid recipients"), true
	case stopping, cut:
		return say("4.3.2", "shutting down, try again later")
	default:
		return say("4.3.0", "internal error, try again later")
	}
}

// drains says whether a message under way is read to its end before the answer.
func (f *failure) drains() bool {
	switch f.trouble {
	case msaLost, msaSilent, msaStuck, stopping, cut, broken:
		return false
	default:
		return true
	}
}

// outcome is what a transaction that was open when the failure struck has come to.
func (f *failure) outcome() Outcome {
	switch {
	case f.phase == PhaseDot && f.trouble == mxSaid:
		return OutcomeDeferred
	case f.phase == PhaseDot:
		return OutcomeAmbiguous
	case f.trouble == mxSaid && f.reply.Class() == 5:
		return OutcomeRefused
	case f.trouble <= mxSaid:
		return OutcomeDeferred
	default:
		return OutcomeAborted
	}
}

// ownMark starts the text of every reply that kanmon makes itself, so that operators, and kanmon's own evidence,
// can tell it from what an MX said.
const ownMark = "kanmon: "

// IsOwn reports whether a reply is a kanmon's: another one's, where it comes from an MX. That is no evidence of anybody's conduct. It is
// known by its form: the mark behind the codes, and nowhere else, for an MX may repeat in its text what it was told; nor where what was
// said to it begins so.
func IsOwn(reply []byte, said ...string) bool {
	text := bytes.TrimLeft(reply, "0123456789")
	if len(text) != len(reply)-3 || len(text) == 0 || text[0] != ' ' && text[0] != '-' {
		return false
	}
	text = text[1:]
	if rest := bytes.TrimLeft(text, "0123456789."); len(rest) < len(text) {
		text = bytes.TrimPrefix(rest, []byte{' '})
	}
	return bytes.HasPrefix(text, []byte(ownMark)) && !slices.ContainsFunc(said, mayPassForOwn)
}

// mayPassForOwn reports whether something said looks like the mark when it is repeated without its quotes.
func mayPassForOwn(said string) bool {
	const name = "kanmon"
	said = strings.TrimLeft(said, "<\"'\\ ")
	return len(said) >= len(name) && strings.EqualFold(said[:len(name)], name)
}

// ownReply makes a reply that also says which gateway gave it, if the operator has named it.
func ownReply(code int, enhanced, text, host string) smtp.Reply {
	if host != "" {
		text += " (" + host + ")"
	}
	return smtp.NewReply(code, enhanced, ownMark+text)
}

// suspendedText names the cause and nobody: neither the IPs nor whose mail it was.
const suspendedText = "all sending IPs for this destination are suspended, try again later; your mail stays queued, nothing needs to be done"

// Replies of kanmon to commands that never reach the MX. Shared by all sessions, never changed.
var (
	replyBadSyntax    = smtp.NewReply(500, "5.5.2", ownMark+"line too long or not SMTP")
	replyBadOctet     = smtp.NewReply(501, "5.5.2", ownMark+"bare CR or LF, control or 8-bit character in command")
	replyUnknown      = smtp.NewReply(500, "5.5.1", ownMark+"command not recognised")
	replyNotOffered   = smtp.NewReply(502, "5.5.1", ownMark+"command not offered")
	replyNoAuth       = smtp.NewReply(503, "5.5.1", ownMark+"AUTH was not offered")
	replyNoBDAT       = smtp.NewReply(503, "5.5.1", ownMark+"CHUNKING was not offered, closing")
	replyVRFY         = smtp.NewReply(252, "2.5.2", ownMark+"cannot VRFY, send some mail")
	replyHelp         = smtp.NewReply(214, "2.0.0", ownMark+"see RFC 5321")
	replyNeedName     = smtp.NewReply(501, "5.5.4", ownMark+"EHLO and HELO need a name")
	replyTooManyRcpts = smtp.NewReply(452, "4.5.3", ownMark+"too many recipients")
	replyNoTLS        = smtp.NewReply(451, "4.7.5", ownMark+"the destination must offer TLS and does not, or it failed")
	replyTLSWanted    = smtp.NewReply(451, "4.7.0", ownMark+"TLS with the destination has failed, and it takes no mail without: your mail stays queued, the next try is with TLS again")
	replySuspended    = smtp.NewReply(451, "4.7.1", ownMark+suspendedText)
	replyElsewhere    = smtp.NewReply(451, "4.4.1", ownMark+"the sending IP for this mail cannot reach the destination now, try again later")
	replyStopping     = smtp.NewReply(421, "4.3.2", ownMark+"shutting down, try again later")
	replyTooManyMails = smtp.NewReply(421, "4.7.0", ownMark+"too many messages on one connection, open another")
	replyMXGone       = smtp.NewReply(421, "4.4.2", ownMark+"the destination closed the connection")
	replyMXRefused    = smtp.NewReply(503, "5.5.1", ownMark+"the destination refused the connection")
	replyGoAhead      = smtp.NewReply(220, "2.0.0", ownMark+"ready to start TLS")
	replyNoParams     = smtp.NewReply(501, "5.5.4", ownMark+"STARTTLS takes no parameters")
	replyTLSTwice     = smtp.NewReply(503, "5.5.1", ownMark+"TLS is active already")
	replyOK           = smtp.NewReply(250, "2.0.0", ownMark+"ok")
	replyNeedHello    = smtp.NewReply(503, "5.5.1", ownMark+"send EHLO first")
	replyNotNow       = smtp.NewReply(503, "5.5.1", ownMark+"not during a mail transaction")
	replyNested       = smtp.NewReply(503, "5.5.1", ownMark+"the sender is given already")
	replyNeedMail     = smtp.NewReply(503, "5.5.1", ownMark+"need MAIL first")
	replyNeedRcpt     = smtp.NewReply(503, "5.5.1", ownMark+"need RCPT first")
	replyLacks        = smtp.NewReply(451, "4.3.3", ownMark+"the destination does not offer what this mail asks for, try again later")
	replyBye          = smtp.NewReply(221, "2.0.0", ownMark+"bye")
)
