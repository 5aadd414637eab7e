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
//	# text       a comment
//
// In S and >, a trailing … or * stands for any rest of the line. A line may end in spaces, which are sent and compared.
// What is expected must come within ten seconds of virtual time: when a script waits for a timer of the proxy, it says
// so with sleep. What a party has received at the end, and no line has expected, fails the dialogue.
//
// RFC 5321 (SMTP), RFC 2920 (pipelining), RFC 3207 (STARTTLS).
package smtptest
