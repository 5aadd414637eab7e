package main

import (
	"time"

	"kanmon/test/traffic"
)

// A kind is a way to misbehave.
type kind struct {
	name     string
	what     string // for the page
	attack   func(a *attacker)
	mx       behaviour // of the attacker's own MXs
	keywords []string
	tls      bool
	sample   bool // it is among those of a quick run
	guilty   bool // it is seen by MXs of several operators: its sender must be contained
	content  bool // it is one only where messages are scanned
}

// Kinds that others speak of.
const (
	nothing       = "nothing"
	impersonation = "impersonation"
	held          = "held"
)

var utf8Keywords = []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}

// kinds are all that one tenant does. The place in the list is the number of its tenant and its networks.
var kinds = []kind{
	{name: nothing, what: "honest mail alone", sample: true},
	{name: "long-replies", what: "1,000 recipients, 60 KB of reply to each", attack: (*attacker).thousand, mx: toRcpt(long("250", "fine ", 58<<10)), sample: true},
	{name: "recipients", what: "1,000 recipients of each message", attack: (*attacker).thousand},
	{
		name: "cjk", what: "1,000 recipients in Chinese characters, 2 KB of Chinese to each; addresses are hashed on record",
		attack: (*attacker).cjk, mx: toRcpt(long("550", "用户不存在或信箱已满请稍后再试", 2<<10)), keywords: utf8Keywords, sample: true,
	},
	{name: "made-up-senders", what: "each message of another sender, to 50 unknown users of its own MX", attack: (*attacker).madeUpSenders, mx: toRcpt("550 5.1.1 User unknown"), sample: true},
	{name: "null-sender", what: "spam with the null sender, refused by four operators", attack: (*attacker).nullSender, guilty: true, sample: true},
	{name: "same-twenty", what: "spam to the same twenty people, always refused", attack: (*attacker).sameTwenty, guilty: true, sample: true},
	{name: "mid-body", what: "spam refused in the middle of the message", attack: (*attacker).midBody, guilty: true, sample: true},
	{name: "harvest", what: "addresses tried one after the other, unknown at four operators", attack: (*attacker).harvest, guilty: true},
	{name: "verp", what: "spam, each message of a made-up VERP sender", attack: (*attacker).verp, guilty: true},
	{name: "callouts", what: "recipients asked for with the null sender and no message", attack: (*attacker).callouts},
	{name: "421", what: "an MX that says 421 and closes, at any verb", attack: (*attacker).plain, mx: closesAnywhere, sample: true},
	{name: "own-listing", what: "an MX that lists every sending IP: rescues", attack: (*attacker).plain, mx: listsUs, sample: true},
	{name: "named-lists", what: "refusals that name lists whose zones never answer", attack: (*attacker).plain, mx: namesLists, sample: true},
	{name: impersonation, sample: true, what: "an MX with a name of an access provider, which blocks our IP", attack: (*attacker).plain, mx: toRcpt("550 5.7.1 Your IP address is on our block list")},
	{name: "domains", what: "each recipient in another domain, refused", attack: (*attacker).domains, mx: toRcpt("550 5.7.1 Access denied, your IP address was refused")},
	{name: "slow-dns", what: "the same in domains whose name servers never answer", attack: (*attacker).silentDomains, mx: toRcpt("550 5.7.1 Access denied, your IP address was refused"), sample: true},
	{name: "silent", what: "3,000 sessions that say nothing behind EHLO", attack: (*attacker).silent, sample: true},
	{name: "idle-at-sites", what: "sessions to the honest MXs that never send: they would take a probe", attack: (*attacker).idleAtSites},
	{name: "ipv6", what: "2,000 sessions from one /64, an address each", attack: (*attacker).fromOneNetwork, sample: true},
	{name: "half-open", what: "9,600 connections to an MX that never greets", attack: (*attacker).halfOpen, mx: waits("BANNER", -1), sample: true},
	{name: "nobody", what: "connections to addresses where nobody is", attack: (*attacker).nobody},
	{name: "churn", what: "connections closed at once", attack: (*attacker).churn},
	{name: "junk", what: "noise, HTTP, TLS and PROXY in place of SMTP", attack: (*attacker).junk},
	{name: "rset", what: "MAIL and RSET, again and again", attack: (*attacker).rset},
	{name: "pipelined", what: "thousands of commands in one write, out of order", attack: (*attacker).pipelined},
	{name: "unread", what: "large replies that its MSA does not read", attack: (*attacker).unread, mx: toRcpt(long("250", "fine ", 58<<10)), sample: true},
	{name: "drip", what: "1,000 messages that come an octet at a time", attack: (*attacker).drip, sample: true},
	{name: "header", what: "a header of 5 MB on one line", attack: (*attacker).hugeHeader},
	{name: "bodies", what: "messages of 10 MB", attack: (*attacker).bigBodies},
	{name: held, what: "messages of 25 MB, which a scanner is asked about before they leave", attack: (*attacker).heldBodies, content: true},
	{name: "smuggling", what: "messages with look-alikes of their end", attack: (*attacker).smuggling, sample: true},
	{name: "tarpit-dot", what: "messages of 250 KB to an MX that lets the reply wait", attack: (*attacker).quarterMegabytes, mx: waits(".", 20*time.Second)},
	{name: "keywords", what: "an MX with a hundred new EHLO keywords in each session", attack: (*attacker).plain, mx: newKeywords},
	{name: "broken-tls", what: "an MX that breaks each handshake", attack: (*attacker).plain, mx: breaksTLS, tls: true},
	{name: "tls", what: "a handshake for each session, no tickets", attack: (*attacker).plain, tls: true},
	{name: "msa-tls", what: "handshakes of the MSA that are broken off", attack: (*attacker).brokenMSATLS, mx: greetsOnly},
}

// greetsOnly has nothing else to say: all that counts is before.
func greetsOnly(*traffic.Visit, string, string) traffic.Answer { return traffic.Answer{} }
