// Package session is the engine: one proxied SMTP session, from an intercepted connection to both legs closed.
// docs/engine.md is its law; the comments name the invariants (I1 …) and states (S0 …) of that page.
//
// RFC 5321 (SMTP), RFC 2920 (pipelining), RFC 3207 (STARTTLS), RFC 2979 §3 (what a box in the middle may do).
//
// Normal use:
//
//  1. Make an [Engine] with [Ways] and a [Live] that all engines of the process share.
//  2. Call [Engine.Serve] in a goroutine for each intercepted connection: that goroutine owns the session and both legs.
//  3. Give connections that are not to be served to [Engine.Refuse].
//  4. Read what sessions hand to the [Recorder]: an [event.Record] for each transaction and for each session's end.
//  5. On a reload make a new Engine; on a stop call [Live.Drain].
//
// Reading order, which is call order:
//
//	engine.go       Serve, Refuse, limits
//	session.go      a session from greeting to farewell; await, the one place that waits
//	greet.go        may the MSA come in, and what it is greeted with
//	open.go dial.go tls.go  the MX leg: dial, banner, EHLO, STARTTLS, EHLO; a step that blocks, aside
//	tlsforms.go tlsretry.go tlsmemory.go tickets.go  how TLS is tried, what is tried behind a failure of TLS, and what is remembered of an MX's
//	talk.go         what the MSA has said, and what it has been told
//	command.go      a group of commands: take, forward, answer in order
//	helo.go         the MX that drops EHLO
//	unreachable.go  the MX that cannot be reached
//	dispatch.go     which command is forwarded, and which is answered here
//	mail.go         the mail at hand, from its MAIL to its end: whether what follows may pass
//	mailbox.go      whose mailbox a MAIL or RCPT names
//	gate.go asking.go  who may send, and how much: what is asked and told, and when
//	trust.go trusting.go  what the domains of recipients ask an MX to prove: who is asked, and what a session keeps of that
//	proof.go prove.go  whether the leg at hand has proved it, and another one that is to take its place
//	reply.go        reading the MX's reply, writing to the MSA, naming what an error of a leg is
//	keywords.go     which EHLO keywords the MSA sees, with an MX and without, and what another MX leg must keep of them
//	ehlo.go         EHLO answered, LIMITS
//	body.go         from 354 to the reply to the dot
//	account.go      the gate asked once more, about the account that a message names in its header
//	fail.go         what went wrong, and what the MSA is told: the only place that makes up replies
//	way.go          whence mail leaves: what is asked and told
//	room.go         where a provider takes no more from a sending IP for now
//	judge.go said.go   who is asked what a refusal means, and what of it may be our own words
//	refusal.go      a refusal of the MX: what it is asked about, whether it is softened
//	downgrade.go    a refusal that is kanmon's own doing, since TLS had failed
//	rescue.go rescue_body.go bodies.go held.go   another MX leg in place of one that refused; the messages that are kept for it
//	clock.go        how long the MSA is kept waiting for one reply, whatever is done behind it
//	move.go         another MX leg for a mail that must leave from another sending IP
//	pace.go         who rests between commands, where this host has too much to do
//	passthrough.go  a session that is only passed through
//	halfclose.go hangups.go  an MSA that has gone, or has only closed its sending side; who is told of it while an MX is waited for
//	quit.go         how an MX leg is left
//	leg.go          one side: buffers, deadlines, hang-ups
//	mxleg.go        the MX's side, with all that is known of it
//	window.go       for how long an MX's window keeps a message from being written
//	trace.go facts.go  what is gathered for an event.Record: of the session, of the mail at hand
//	spends.go overdue.go wire.go  where its time goes; waits that are told of; what the kernel knows of a connection
//	record_kept.go names.go  the transaction under way while the session waits, and the people that it names
//	oddities.go notices.go  what the operator is told of odd peers, and how often
//	memo.go         what is remembered of strangers, within bounds
//	live.go         all sessions: limits, drain
package session
