package replies

// What more than one entry has to say.
const (
	staysQueued = "Queued: the MSA tries again by itself."
	isReturned  = "Returned to its sender by the MSA."
	nothing     = "Nothing."
	limitReach  = "Look at the limit and its use: `kanmon tenant show TENANT`, `kanmon account show ACCOUNT`. Give more room by `kanmon tenant limit` or `kanmon account limit`, or in the configuration, if the mail is legitimate."
)

var deferOrReject = []Code{{451, "4.7.1"}, {550, "5.7.1"}}

var ofSender = &Section{
	Title: "Who may send, and how much",
	About: "Given at MAIL, RCPT, or behind the message, because of whose mail it is. Which rule decided, and on which numbers, is in the records (`decision`).",
}

// Replies because of whose mail it is.
var (
	Blocked = ofSender.add(Entry{
		Name: "blocked", Codes: []Code{{451, "4.7.1"}}, Text: "%s is blocked by this mail service%s; your mail stays queued; contact the service's support", Holds: []string{"SENDING", " until TIME"},
		Happened:   "The operator has blocked the account or the tenant (`kanmon account block`, `kanmon tenant block`), or a limit with `action = \"block\"` has. SENDING is \"sending from this account\" or \"sending from your organisation\". A block with an end names its time, in UTC.",
		Mail:       staysQueued + " It passes as soon as the block ends.",
		Postmaster: "Ask the mail service why. Look whether the account's password is known to others, and what waits in the queue under its name, before that is sent.",
		Operator:   "`kanmon account explain ACCOUNT` says who blocked it, when and why; `kanmon account unblock` lifts the block.",
	})
	Stopped = ofSender.add(Entry{
		Name: "stopped", Codes: []Code{{451, "4.7.1"}}, Text: "%s is paused because receivers refused too much of its mail; your mail stays queued; check it for abuse, then contact the mail service's support",
		Holds:      []string{"SENDING"},
		Happened:   "Containment has stopped the account or the tenant: receivers refused too much of its mail as spam, or too many of its recipients do not exist. SENDING is \"sending from this account\" or \"sending from your organisation\".",
		Mail:       staysQueued + " It passes again once the level has come down.",
		Postmaster: "Look for a stolen password, an open web form or an old list of recipients, and delete what waits of it. Then tell the mail service.",
		Operator:   "`kanmon account explain ACCOUNT`. If it was no abuse: `kanmon account unblock`, or `exempt` for a time.",
	})
	Slowed = ofSender.add(Entry{
		Name: "slowed", Codes: []Code{{451, "4.7.1"}}, Text: "%s is rate-limited because receivers refused too much of its mail; your mail stays queued; retry in %s", Holds: []string{"SENDER", "TIME"},
		Happened:   "Containment lets few mails of the account or the tenant pass per hour. SENDER is \"this account\" or \"your organisation\".",
		Mail:       staysQueued + " A part of it passes each hour.",
		Postmaster: "As for `stopped`. Nothing has to be resent.",
		Operator:   "`kanmon account explain ACCOUNT`; the level comes down by itself.",
	})
	LimitReached = ofSender.add(Entry{
		Name: "limit", Codes: deferOrReject, Text: "sending limit reached for %s: %s (limit %q); %s", Holds: []string{"SENDER", "500 messages per hour", "NAME", "retry in TIME"},
		Happened:   "A `[[sender_limit]]` is used up. SENDER is \"this account\", \"your organisation\", \"your organisation at this receiver\" or \"this receiver\".",
		Mail:       "451: queued. 550 (`action = \"reject\"`): returned.",
		Postmaster: "451: nothing; the rest goes out by itself. 550: send it again later. If this happens often, ask the mail service for more, or look who sends so much.",
		Operator:   limitReach,
	})
	LimitAttempts = ofSender.add(Entry{
		Name: "limit-attempts", Codes: deferOrReject, Text: "too many attempts by %s: %s, refused ones included (limit %q); %s",
		Holds:      []string{"SENDER", "5000 recipients per hour", "NAME", "retry in TIME"},
		Happened:   "So much of what the sender tries is refused that the number of attempts, which a limit bounds too, is used up.",
		Mail:       "As with `limit`.",
		Postmaster: "Find out what is being tried and refused again and again: an old list of recipients, a loop, a stolen account.",
		Operator:   limitReach,
	})
	LimitSessions = ofSender.add(Entry{
		Name: "limit-sessions", Codes: deferOrReject, Text: "connection limit reached for %s: %s at once (limit %q); %s", Holds: []string{"SENDER", "10 sessions", "NAME", "retry later"},
		Happened:   "A `[[sender_limit]]` with `count = \"sessions\"` has no room for another session.",
		Mail:       "As with `limit`.",
		Postmaster: "Nothing, or fewer connections at once to one destination.",
		Operator:   limitReach,
	})
	UnknownServer = ofSender.add(Entry{
		Name: "unknown-server", Codes: []Code{{451, "4.7.1"}}, Text: "mail server %s is not registered at this gateway; your mail stays queued; contact the mail service's support", Holds: []string{"ADDRESS"},
		Happened:   "Tenants are configured, and none of them has the address of this MSA among its `sources`; `senders.unknown_tenant` is not set.",
		Mail:       staysQueued,
		Postmaster: "Tell the mail service the address of the mail server.",
		Operator:   "Add the address to the tenant's `sources`. The mail goes out at the MSA's next try.",
	})
	UnknownSender = ofSender.add(Entry{
		Name: "unknown-sender", Codes: []Code{{451, "4.7.1"}}, Text: "sender %s is not registered for mail server %s; your mail stays queued; contact the mail service's support", Holds: []string{"domain DOMAIN", "ADDRESS"},
		Happened:   "Several tenants share this MSA, each with its `sender_domains`, and the sender's domain is nobody's. For a bounce the text says \"<>\".",
		Mail:       staysQueued,
		Postmaster: "Tell the mail service that this domain sends; or correct the sender's address.",
		Operator:   "Add the domain to the tenant's `sender_domains`, or name in `senders.unknown_tenant` whose such mail is.",
	})
	Spoofed = ofSender.add(Entry{
		Name: "spoofed", Codes: []Code{{550, "5.7.1"}}, Text: "sender domain %s is registered to another customer of this mail service; the mail was not sent", Holds: []string{"DOMAIN"},
		Happened:   "`senders.spoofing` is `\"refuse\"`, and the envelope sender's domain is another tenant's.",
		Mail:       isReturned,
		Postmaster: "Send from a domain of your own. If the domain is yours, tell the mail service.",
		Operator:   "Look which of the two tenants the domain belongs to. A tenant that forwards strangers' mail can be marked: `kanmon tenant kind TENANT forwarder`.",
	})
	UnreadableSender = ofSender.add(Entry{
		Name: "unreadable-sender", Codes: []Code{{501, "5.1.7"}}, Text: "the sender must be one address in angle brackets: MAIL FROM:<user@domain.example>; the mail was not sent",
		Happened:   "The MAIL command names a sender that MXs may read in different ways: with a display name, with a blank before the colon, with two addresses, or with an address that is none. Nobody can say whether its sender is blocked, so it is not forwarded.",
		Mail:       isReturned,
		Postmaster: "Correct what sends the mail: the envelope sender is a bare address.",
		Operator:   nothing + " The record has the sender as it came.",
	})
	AccountMissing = ofSender.add(Entry{
		Name: "account-missing", Codes: []Code{{451, "4.7.1"}}, Text: "the message does not say which account sent it: the mail server must add the header field %s; your mail stays queued", Holds: []string{"FIELD"},
		Happened:   "`account_header_required` is on for the tenant, and the message has no header field that names an account of it.",
		Mail:       staysQueued,
		Postmaster: "Have the MSA write the field into each message that a login has sent.",
		Operator:   "Agree on the field with the tenant, or switch `account_header_required` off meanwhile.",
	})
	AccountAmbiguous = ofSender.add(Entry{
		Name: "account-ambiguous", Codes: []Code{{451, "4.7.1"}}, Text: "the message names its account in several ways: the mail server must remove every header field %s that it has not written; your mail stays queued",
		Holds:      []string{"FIELD"},
		Happened:   "The header field that names the account is there several times, with different accounts, and `account_header_conflict` is `\"defer\"`.",
		Mail:       staysQueued,
		Postmaster: "Have the MSA remove such fields from what clients send, then add its own.",
		Operator:   "`conflicting_accounts` in the records says what the fields name.",
	})
)
