package replies

var ofMessage = &Section{
	Title: "The message",
	About: "Given in place of the MX's reply to the message, which the MX has not taken: it never got the end of it.",
}

// Replies because of what the message is.
var (
	Smuggled = ofMessage.add(Entry{
		Name: "smuggled", Codes: []Code{{550, "5.6.0"}}, Text: "message contains a bare CR or LF next to a dot (SMTP smuggling); the sending software must use CRLF",
		Happened:   "Some servers take such octets for the end of the message, and what follows for commands of the sender. kanmon forwards none of them.",
		Mail:       isReturned,
		Postmaster: "Find the software that made the message, often a script, and have it end lines with CR LF. If nobody knows it, the account may be stolen.",
		Operator:   "If it is one tenant again and again, look at what it sends.",
	})
	TooBig = ofMessage.add(Entry{
		Name: "too-big", Codes: []Code{{552, "5.3.4"}}, Text: "message is larger than this gateway allows; the mail was not sent",
		Happened:   "The message is above `limits.body_bytes`.",
		Mail:       isReturned,
		Postmaster: "Send it in smaller parts, or a link.",
		Operator:   "Raise `limits.body_bytes`, if the destination would take it.",
	})
	Unwanted = ofMessage.add(Entry{
		Name: "unwanted", Codes: []Code{{554, "5.5.1"}}, Text: "no valid recipients",
		Happened:   "The MSA sent a message although every recipient had been refused.",
		Mail:       "What the replies to the recipients said holds.",
		Postmaster: "See the replies to the recipients.",
		Operator:   nothing,
	})
	Unjudged = ofMessage.add(Entry{
		Name: "unjudged", Codes: []Code{{451, "4.7.1"}}, Text: "this message could not be judged in time; your mail stays queued and is retried",
		Happened:   "The content of the message was to be judged before it leaves, and nobody has said in time what it is.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "Look with `kanmon status` whether a scanner is away.",
	})
	TookTooLong = ofMessage.add(Entry{
		Name: "took-too-long", Codes: []Code{{451, "4.4.2"}}, Text: "the destination took too long for this message; your mail stays queued and is retried",
		Happened:   "kanmon had kept the message until its content was judged, and the MX did not take it in the time that was left (`content.dot_within`). It has not got the end of it.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "Raise `content.dot_within` if that happens again and again with mail servers that wait longer.",
	})
)
