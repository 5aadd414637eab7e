package replies

// seeExplain is where the operator finds what a reply with a reference is about.
const seeExplain = "`kanmon content explain REFERENCE` says what each scanner has said."

var ofContent = &Section{
	Title: "What is in the message",
	About: "Given in place of the MX's reply where the operator has the tenant's mail scanned (`scan` of `[[tenant]]`). The MX has not taken the message. A reference, such as 7F3K-29CQ, finds the record for as long as history is kept.",
}

// Replies because of what scanners say, or do not say.
var (
	Spam = ofContent.add(Entry{
		Name: "spam", Codes: []Code{{550, "5.7.1"}, {552, "5.7.1"}, {553, "5.7.1"}, {554, "5.7.1"}}, Text: "this message was judged to be spam; reference %s", Holds: []string{"REFERENCE"},
		Happened:   "A scanner would reject the message (`on_reject`, `on_spam`). A milter may have chosen the code.",
		Mail:       isReturned,
		Postmaster: "If it is no spam, tell the mail service the reference. If nobody knows the message, the account may be stolen.",
		Operator:   seeExplain + " If it was wrong: `kanmon content allow --account ACCOUNT --for 24h --reason …`.",
	})
	Infected = ofContent.add(Entry{
		Name: "virus", Codes: []Code{{554, "5.7.1"}}, Text: "this message contains %s; reference %s", Holds: []string{"VIRUS", "REFERENCE"},
		Happened:   "A scanner has found a virus (`on_virus`).",
		Mail:       isReturned,
		Postmaster: "Find out who sent it, and look at that computer.",
		Operator:   seeExplain,
	})
	SpamForNow = ofContent.add(Entry{
		Name: "spam-for-now", Codes: []Code{{451, "4.7.1"}}, Text: "this message was not accepted for the moment because of what is in it; it stays queued; reference %s", Holds: []string{"REFERENCE"},
		Happened:   "A scanner would put the message off (`on_soft_reject`), or the tenant's rules say `\"defer\"`.",
		Mail:       staysQueued,
		Postmaster: "Nothing at first. If it stays, tell the mail service the reference.",
		Operator:   seeExplain,
	})
	InfectedForNow = ofContent.add(Entry{
		Name: "virus-for-now", Codes: []Code{{451, "4.7.1"}}, Text: "this message stays queued because it contains %s; reference %s", Holds: []string{"VIRUS", "REFERENCE"},
		Happened:   "A scanner has found a virus, and `on_virus` is `\"defer\"`.",
		Mail:       staysQueued + " It is returned if the scanner says the same for as long as the MSA tries.",
		Postmaster: "Find out who sent it, look at that computer, and delete the message from the queue.",
		Operator:   seeExplain,
	})
	Unscanned = ofContent.add(Entry{
		Name: "unscanned", Codes: []Code{{451, "4.7.1"}}, Text: "this message could not be checked for spam and viruses; it stays queued; reference %s", Holds: []string{"REFERENCE"},
		Happened:   "A scanner has given no verdict, and the configuration wants one of such mail (`unavailable`, `too_large`, `busy`).",
		Mail:       staysQueued,
		Postmaster: "Nothing at first. If it stays, tell the mail service the reference: a message can be too large to be checked.",
		Operator:   seeExplain + " `kanmon status` says whether a scanner is away.",
	})
	Unfit = ofContent.add(Entry{
		Name: "unfit", Codes: []Code{{451, "4.7.1"}}, Text: "this message cannot be checked because of an address or a header field in it; it stays queued; reference %s", Holds: []string{"REFERENCE"},
		Happened:   "The sender, a recipient or the message has something in it that no scanner can be told. Such mail never passes without a verdict.",
		Mail:       staysQueued,
		Postmaster: "Look at the addresses of the message: software wrote one of them wrongly.",
		Operator:   seeExplain,
	})
	NoRoomToScan = ofContent.add(Entry{
		Name: "no-room-to-scan", Codes: []Code{{451, "4.3.2"}}, Text: "too many messages are being checked for spam and viruses; retry later",
		Happened:   "There was no memory for the message within some seconds, in all or for the tenant (`hold_memory`), and `busy` wants a verdict of such mail.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "`kanmon status`, and the metrics of scanners. Raise `hold_memory` if it is too little.",
	})
)
