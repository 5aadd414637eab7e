package replies

const (
	notMail  = "There is none, or it goes on."
	software = "Nothing if somebody typed it; else look at the sending software."
)

var outOfPlace = []Code{{503, "5.5.1"}}

var ofCommand = &Section{
	Title: "Commands",
	About: "Commands that kanmon answers without the MX. A mail server in order sees few of them.",
}

// command adds a reply that nobody has to do anything about, but for software that nobody has typed for.
func command(name string, codes []Code, text, happened string) *Entry {
	postmaster := software
	if codes[0].Code < 400 {
		postmaster = nothing
	}
	return ofCommand.add(Entry{Name: name, Codes: codes, Text: text, Happened: happened, Mail: notMail, Postmaster: postmaster, Operator: nothing})
}

// Replies to commands.
var (
	TooManyRecipients = ofCommand.add(Entry{
		Name: "too-many-recipients", Codes: []Code{{452, "4.5.3"}}, Text: "too many recipients; send the rest in another message",
		Happened:   "`limits.recipients` is reached. Every mail server sends the rest by itself.",
		Mail:       "It goes to the recipients so far, and to the others in a further message.",
		Postmaster: nothing,
		Operator:   nothing,
	})
	NoAuth        = command("no-auth", outOfPlace, "AUTH is not available on port 25; use submission on port 587", "The client wanted to log in.")
	NoBDAT        = command("no-bdat", outOfPlace, "CHUNKING was not offered; closing the connection", "BDAT came although CHUNKING is never offered.")
	BadSyntax     = command("bad-syntax", []Code{{500, "5.5.2"}}, "line too long or not SMTP", "A line was longer than 4,096 octets, or no command.")
	BadOctet      = command("bad-octet", []Code{{501, "5.5.2"}}, "bare CR or LF, control or 8-bit character in command", "A command has octets that SMTP does not allow there.")
	Unknown       = command("unknown", []Code{{500, "5.5.1"}}, "command not recognised", "A verb that SMTP does not have.")
	NotOffered    = command("not-offered", []Code{{502, "5.5.1"}}, "command not offered", "A command of an extension that was not offered, such as ETRN.")
	TLSNotOffered = ofCommand.add(Entry{
		Name: "tls-not-offered", Codes: []Code{{454, "4.7.0"}}, Text: "TLS was not offered: this gateway speaks TLS with the destination by itself; your mail stays queued",
		Happened:   "The MSA said STARTTLS though it was not offered: its own policy for the destination (MTA-STS, DANE, or a setting) asks for TLS with the MX. Temporary, so that no MSA returns the mail.",
		Mail:       "It goes on in plain text, as far as kanmon, or stays queued: the MSA decides.",
		Postmaster: "Switch such policies off in the MSA, or have the mail service pass the destination through.",
		Operator:   "[Settings for MSAs](../howto/msa.md); or `passthrough` in a `[[destination]]`.",
	})
	NeedName  = command("need-name", []Code{{501, "5.5.4"}}, "EHLO and HELO need a name", "EHLO or HELO came without one.")
	NeedHello = command("need-hello", outOfPlace, "send EHLO first", "MAIL came before EHLO or HELO.")
	Nested    = command("nested", outOfPlace, "the sender is given already", "A second MAIL came within one mail.")
	NeedMail  = command("need-mail", outOfPlace, "need MAIL first", "RCPT or DATA came without a MAIL, or behind one that was refused.")
	NeedRcpt  = command("need-rcpt", outOfPlace, "need RCPT first", "DATA came without a recipient that was let pass.")
	NotNow    = command("not-now", outOfPlace, "not during a mail transaction", "STARTTLS came within a mail.")
	NoParams  = command("no-parameters", []Code{{501, "5.5.4"}}, "STARTTLS takes no parameters", "STARTTLS came with some.")
	Ahead     = command("ahead-of-tls", outOfPlace, "nothing may follow STARTTLS before TLS; closing the connection", "More stood behind STARTTLS, which the handshake must follow: faulty software, or somebody between (CVE-2011-0411).")
	TLSTwice  = command("tls-twice", outOfPlace, "TLS is active already", "STARTTLS came inside of TLS.")
	GoAhead   = command("go-ahead", []Code{{220, "2.0.0"}}, "ready to start TLS", "STARTTLS between the MSA and kanmon.")
	Send      = ofCommand.add(Entry{
		Name: "send", Codes: []Code{{354, ""}}, Text: "End data with <CR><LF>.<CR><LF>", Bare: true,
		Happened: "The message is judged by its content before the MX hears of it: kanmon takes it, and the reply to it is the MX's, or kanmon's refusal.",
		Mail:     notMail, Postmaster: nothing, Operator: nothing,
	})
	CannotVRFY = command("cannot-vrfy", []Code{{252, "2.5.2"}}, "cannot VRFY, send some mail", "VRFY is never asked of an MX.")
	Help       = command("help", []Code{{214, "2.0.0"}}, "see RFC 5321", "HELP.")
	OK         = command("ok", []Code{{250, "2.0.0"}}, "ok", "NOOP or RSET where there is no MX to ask.")
	Bye        = command("bye", []Code{{221, "2.0.0"}}, "bye", "QUIT where the MX has given no answer to it.")
)
