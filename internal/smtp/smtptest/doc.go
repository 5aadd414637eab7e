// Package smtptest is the other half of a mail session, for tests: both peers of a proxy, and the network between.
// Everything in it works in real time and inside a bubble of testing/synctest, and nothing in it opens a socket.
//
// # Use
//
//  1. [Pair] gives a connection that behaves as TCP on Linux does: buffered, with deadlines, FIN, RST and a window.
//     [Network] does the same by address, for tests with several peers.
//  2. [Conn.CutReadAfter] and [Conn.CutWriteAfter] cut it at an octet, [Conn.Chunk] splits its reads.
//  3. [MX] is a correct server with a [Mailbox]; its Reply makes it as incorrect as a test needs.
//  4. [MSA] is a client: step by step, or by [MSA.Deliver] with the verdict of a queueing mail server.
//  5. [Certificate] and [Roots] give what TLS needs.
//  6. [RunDialogue] runs a whole session written as text.
//
// # Dialogues
//
// A dialogue is a text file. Its lines are run from top to bottom; each line is one step of one party, with the proxy between.
//
//	C: text      the MSA sends text and CRLF
//	c: text      the MSA sends text, with Go's escapes and no CRLF
//	S: text      the next line that the MSA receives is text and CRLF
//	> text       the next line that the MX receives is text and CRLF
//	>> N         the MX receives N octets more, whatever they are
//	>> text      the next octets that the MX receives are text, with Go's escapes
//	< text       the MX sends text and CRLF
//	<< text      the MX sends text, with Go's escapes and no CRLF
//	tls-mx       the MX does a server's handshake, with the certificate of the zero CertificateOptions
//	tls-msa      the MSA does a client's handshake, and checks the certificate for mx.example.net against Roots
//	close-mx     the MX closes the connection; close-msa likewise
//	shut-mx      the MX sends a FIN and goes on reading; shut-msa likewise
//	reset-mx     the MX closes the connection with a RST; reset-msa likewise
//	eof-mx       the MX sees the end of the connection, and no octet before it; eof-msa likewise
//	sleep 10s    virtual time passes, in the units of time.ParseDuration
//	quiet 10s    likewise, and at its end nothing has come to anybody that no line has expected yet
//	# text       a comment
//
// In S, > and told, a trailing … or * stands for any rest of the line. A line may end in spaces, which are sent and compared.
// What is expected must come within ten seconds of virtual time: when a script waits for a timer of the proxy, it says
// so with sleep. What a party has received at the end, and no line has expected, fails the dialogue.
//
// # Several sending IPs
//
// A proxy may connect to the MX from up to three sending IPs, 203.0.113.10 and the next two. What the MX says to each is a leg:
// mx, mx2 and mx3. The lines of the first are those above; those of the others have the leg's name in front (mx2< 220 …, mx3> QUIT)
// or behind (tls-mx2, eof-mx3).
//
//	dial: mx2            the proxy connects, and it is the second sending IP that it leaves from
//	dial: mx2 refused    the MX's host refuses the connection; silent: it does not answer until the proxy gives up
//	dial: mx2 same       the proxy connects once more from the sending IP that it has: that connection is called mx2
//	dial: none           there is no sending IP to connect from; suspended, absent, portless: and why
//
// The first connection from the first sending IP needs no line. Where a leg connects once more, the one before has ended: eof-mx2.
//
// # Whoever decides
//
// What the proxy asks its judge, its gate, its mover and its trust, the script answers. A line waits for the question, as S waits for a reply:
//
//	judge: rcpt 550 mx => rescue soften class=ip_blocklisted
//	gate: mail from=a@example.com => delay=10s
//	mover: to=x@other.example => move
//	dial: rescue avoid=mx => mx2
//	judge: pass
//
// In front of => stand words that must be in the question; without => the line answers the next question of its kind. A value with spaces
// is quoted. A question that no line waits for gets the answer that changes nothing, as soon as the script waits for something else.
//
//	judge:   about   phase, code (0: no reply), leg, from=, to=, domain=, pool=, again, stuck
//	         says    pass, or rescue soften soften_to=452 observe class= scope= rule= why= avoid=mx2,mx3
//	gate:    about   connect; mail from= size=; leave and a leg, instead; rcpt to=; account fields=; rescue
//	         says    pass, or defer (4xx) reject (5xx) delay=10s again pool= header= strip must
//	mover:   about   leg, from=, to=, pool=
//	         says    stay or move
//	trust:   about   need and domain=; judge, domain=, plain, resumed, sni=, early (the need is not known yet); hello
//	         says    of a need: wait=3s; of a leg: pass, or refuse name= until=1h sni= fresh policy=; of a hello: sni=
//	content: about   data recipients= (is it judged?); room; start; grow; full; verdict octets= recipients= utf8
//	         says    of data: pass or inspect; of room: wait=3s; of start and full: hold tee behind or off, defer or refuse, dot=1m pause=5s;
//	                 of grow: full; of a verdict: wait=3s, accept divert pool= defer refuse never, fields="X-A: b\r\n"
//	dial:    about   from=, to=, pool=, rescue, further, same, avoid=mx,mx2
//
// What the proxy tells, without an answer, is news. The first word is who hears it:
//
//	told: gate rcpt 250                  this has been told, or is within ten seconds, behind what lines have spoken of before
//	told: record rescued rcpt 550 mx2    likewise of the record
//	untold: gate message …               this has not been told, in all of the session so far
//	untold: asked gate: mail from=b…     every question is news, too
//
// Which words there are is up to whoever runs the proxy: see the judge, the gate, the mover and the recorder that
// package session's tests make of a [Dialogue].
//
// # An example
//
// An MX has listed the first sending IP, and says so at MAIL. The MSA hears nothing of that: its mail leaves from the second.
//
//	< 220 mx.example.net
//	S: 220 mx.example.net
//	C: EHLO msa.example.com
//	> EHLO out10.example.jp
//	< 250 mx.example.net
//	S: 250 mx.example.net
//	C: MAIL FROM:<a@example.com>
//	> MAIL FROM:<a@example.com>
//	< 550 5.7.1 203.0.113.10 is listed
//	judge: mail 550 mx => rescue class=ip_blocklisted
//	dial: rescue avoid=mx => mx2
//	mx2< 220 mx.example.net
//	mx2> EHLO out11.example.jp
//	mx2< 250 mx.example.net
//	mx2> MAIL FROM:<a@example.com>
//	mx2< 250 2.1.0 Ok
//	> QUIT
//	eof-mx
//	S: 250 2.1.0 Ok
//	told: record rescued mail 550 mx2
//
// RFC 5321 (SMTP), RFC 2920 (pipelining), RFC 3207 (STARTTLS).
package smtptest
