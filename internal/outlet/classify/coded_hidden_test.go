package classify

import (
	"strings"
	"testing"
)

// Replies of providers that are known by their code alone, or nearly so: a code, and a reply that has it.
var byCode = []struct{ code, reply string }{
	{"S3140", "550 5.7.1 Unfortunately, messages from [203.0.113.10] weren't sent (S3140). Refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors."},
	{"S3150", "550 5.7.1 Messages from [203.0.113.10] weren't sent. Please contact your Internet service provider (S3150). [MX0.prod.protection.outlook.com]"},
	{"AS3140", "550 5.7.1 Service refused for 203.0.113.10. Please contact your provider. (AS3140)"},
	{"AS3150", "550 5.7.1 Mail from 203.0.113.10 refused [AS3150]"},
	{"BL21", "553 5.7.1 [BL21] Connections will not be accepted from 203.0.113.10"},
	{"BL23", "553 Mail from 203.0.113.10 not allowed - 5.7.1 [BL23] Connections not accepted"},
	{"TSS07", "421 4.7.1 [TSS07] Mail from 203.0.113.10 is not taken; see https://postmaster.yahooinc.com/error-codes"},
	{"IPTSS07", "421 4.7.1 [IPTSS07] Mail from 203.0.113.10 is not taken"},
	{"TSS04", "421 4.7.0 [TSS04] Messages from 203.0.113.10 not taken now - 4.1.1; see https://help.yahoo.com/kb/SLN3434.html"},
	{"TSS05", "421 4.7.0 [TSS05] Messages from 203.0.113.10 were not accepted"},
	{"TS01", "421 4.7.0 [TS01] Messages from 203.0.113.10 were not accepted"},
	{"TS02", "421 4.7.0 [TS02] Messages from 203.0.113.10 were not accepted"},
	{"TS03", "421 4.7.1 [TS03] Messages from 203.0.113.10 were not accepted"},
	{"TSS09", "553 5.7.2 [TSS09] Messages from 203.0.113.10 were not accepted"},
	{"TSS11", "553 5.7.2 [TSS11] Messages from 203.0.113.10 were not accepted"},
	{"IPTS04", "421 4.7.0 [IPTS04] Messages from 203.0.113.10 were not accepted"},
	{"CXBL", "554 cox.net CXBL 203.0.113.10 refused"},
	{"CXBL", "554 5.7.1 Mail refused. AUP#CXBL"},
	{"CDRBL", "421 4.7.1 203.0.113.10 blocked. AUP#CDRBL"},
	{"IPBL0001", "554 203.0.113.10 rejected. IPBL0001"},
	{"IPBL", "554 5.7.1 Mail rejected [IPBL]"},
	{"IPBL", "554 5.7.1 Access denied for 203.0.113.10 [IPBL]"},
	{"BL000000", "554 resimta.sys.comcast.net 203.0.113.10 blocked. BL000000"},
	{"BL000001", "554 5.7.1 Mail not accepted [BL000001]"},
	{"RL000010", "421 4.2.0 Throttled (RL000010)"},
	{"RL000002", "421 4.2.0 Try again later. RL000002"},
	{"HCM1", "450 4.7.1 [HCM1] Messages from 203.0.113.10 were not accepted"},
	{"BS02", "450 4.7.1 [BS02] Messages from 203.0.113.10 were not accepted"},
	{"OU-001", "550 OU-001 (SNT004-MC1F19) Unfortunately, messages from 203.0.113.10 weren't sent."},
	{"OU-002", "550 OU-002 (SNT004-MC1F19) Unfortunately, messages from 203.0.113.10 weren't sent."},
	{"SC-001", "550 SC-001 Mail rejected by Windows Live Hotmail for policy reasons."},
	{"DY-001", "550 DY-001 (COL004-MC4F2) Mail rejected by Outlook.com for policy reasons."},
	{"RP-001", "421 RP-001 (BAY004-MC5F6) Unfortunately, some messages from 203.0.113.10 weren't sent."},
	{"VS98-IP0", "553 VS98-IP0 Messages from 203.0.113.10 were not accepted"},
	{"OFR_102", "550 5.5.0 Service refuse. Veuillez essayer plus tard. OFR_102 [102]"},
	{"OFR006_102", "550 mwinf5c04.orange.fr ME Service refuse. OFR006_102 [102]"},
	{"LPN007_510", "550 5.7.1 Service refuse, please try later. LPN007_510"},
	{"S775", "451 4.7.1 The mail server [203.0.113.10] is limited for now (S775)"},
	{"S843", "451 4.7.1 The mail server [203.0.113.10] is limited for now (S843)."},
	{"S77719", "451 4.7.1 Server busy. Please try again later from [203.0.113.10]. (S77719)"},
	{"AS843", "451 4.7.1 Server busy. Please try again later from [203.0.113.10]. (AS843)"},
	{"FLPH1", "521 5.7.1 blocked by DNSBL of att.net. FLPH1"},
	{"POL-P1", "550 5.7.1 POL-P1 Mail from your server was refused"},
	{"POL-P2", "550 5.7.1 POL-P2 Mail from your server was refused"},
	{"POL-T1", "421 4.7.1 POL-T1 Mail from your server was refused for now"},
	{"CXMXRT", "452 4.7.1 Mail not accepted. AUP#CXMXRT"},
}

// waysToSay are what somebody can do in order to have said a code.
func waysToSay(code string) map[string]Query {
	local := strings.ToLower(code)
	return map[string]Query{
		"subject":            {Subject: code},
		"subject, lower":     {Subject: local},
		"subject of several": {Subject: "Re: " + code + " and more"},
		"subject, encoded":   {Subject: "=?utf-8?q?" + strings.ReplaceAll(code, "_", "=5F") + "?="},
		"subject, all codes": {Subject: "S3140 S3150 AS3140 BL21 TSS04 TSS07 TSS09 CXBL IPBL OU-002 " + code},
		"EHLO":               {EHLO: []string{code, "out10.example.jp"}},
		"recipient":          {Recipient: code + "@uni.example"},
		"sender":             {Sender: local + "@acme.example"},
		"another field":      {Said: []string{code}},
	}
}

// Who has said a provider's code does not thereby hide a listing that is known by it.
//
// law: I20
func TestASaidCodeHidesNoListing(t *testing.T) {
	rules, judged := builtinOf(t), 0
	for _, c := range byCode {
		plain := rules.Classify(Query{Text: c.reply, SendingIP: ours})
		if plain.Suspend == No {
			t.Errorf("%q, of whom nothing was said: %s by rule %q", c.reply, plain.Class, plain.Rule)
			continue
		}
		for way, q := range waysToSay(c.code) {
			q.Text, q.SendingIP = c.reply, ours
			judged++
			if v := rules.Classify(q); v.Suspend != plain.Suspend || v.Class != plain.Class {
				t.Errorf("%q, said as %s: %s, suspend %s by rule %q; else %s, %s", c.reply, way, v.Class, v.Suspend, v.Rule, plain.Class, plain.Suspend)
			}
		}
	}
	t.Logf("%d replies, %d ways and replies", len(byCode), judged)
}

// And a code that an MX only repeats, in whatever letters and brackets, makes a refusal of somebody else none of our IP.
//
// law: I20
func TestARepeatedCodeIsNoListing(t *testing.T) {
	rules, judged := builtinOf(t), 0
	ofRecipient := []string{
		"550 5.1.1 %s... User unknown", "550 5.1.1 [%s] User unknown", "550 5.1.1 User unknown (%s)", "550 No such user (%s)", "550 5.1.1 Mailbox not found: [%s]", "550 [%s] is not a user here",
		"550 5.2.1 (%s) Mailbox disabled", "550 5.7.1 Recipient (%s) refused", "550 5.7.1 Access to mailbox [%s] denied", "550 5.1.1 %s", "550 5.1.1 (%s)", "550 5.1.1 Address rejected. %s", "552 5.2.2 Over quota. [%s]",
		"550 5.1.1 RCPT TO %s refused", "550 (%s) left us", "550 5.7.1 user %s: rejected", "550 %s User account is closed", "554 5.7.1 Mail to [%s] rejected", "550 5.7.1 Mail for %s is not accepted here",
		"550 5.1.1 Recipient address rejected: %s", "450 4.1.1 Recipient [%s] unverified, try again", "550 5.7.1 Delivery to %s. Denied.",
	}
	ofSender := []string{
		"550 5.1.8 Sender (%s) rejected", "553 5.1.8 [%s] Sender address rejected", "550 5.7.1 Sender unknown (%s)", "550 5.7.1 Mail from %s rejected", "550 5.7.1 We take no mail from %s", "550 5.7.1 sender: %s", "550 5.7.1 Sender denied [%s]",
	}
	ofName := []string{
		"550 5.7.1 HELO %s not accepted", "504 5.5.2 <%s>: Helo command rejected", "550 Access denied - Invalid HELO name (%s)", "550 5.7.1 bad EHLO [%s]. Rejected.", "554 5.7.1 helo=%s refused", "550 5.7.1 Host %s rejected: no FQDN",
	}
	ofSubject := []string{
		"554 5.7.1 subject (%s) is not wanted", "554 5.7.1 Message rejected: subject [%s]", "550 5.7.1 Blocked keyword (%s)", "550 5.7.1 Message rejected as spam (%s)", "550 5.7.1 Spam message rejected. [%s]", "554 5.7.1 Header Subject: %s. Rejected",
		"554 5.7.1 Your message \"%s\" was blocked by policy", "554 5.7.1 Message with the words %s refused", "554 5.7.1 [%s] Virus found in your message",
	}
	for _, c := range byCode {
		for _, code := range []string{c.code, strings.ToLower(c.code)} {
			for _, kind := range []struct {
				texts []string
				said  Query
			}{
				{ofRecipient, Query{Recipient: c.code + "@uni.example", Sender: "a@acme.example"}},
				{ofSender, Query{Sender: c.code + "@acme.example"}},
				{ofName, Query{EHLO: []string{c.code, "out10.example.jp"}}},
				{ofSubject, Query{Subject: c.code}},
				{ofSubject, Query{Subject: "Re: " + c.code}},
			} {
				for _, text := range kind.texts {
					q := kind.said
					q.Text, q.SendingIP = strings.ReplaceAll(text, "%s", code), ours
					judged++
					if v := rules.Classify(q); v.Suspend != No {
						t.Errorf("%q said by %q %q %q %q: %s, suspend %s by rule %q", q.Text, q.Sender, q.Recipient, q.EHLO, q.Subject, v.Class, v.Suspend, v.Rule)
					}
				}
			}
		}
	}
	t.Log(judged, "texts")
}

// Nor does who calls himself as a list does.
//
// law: I20
func TestTheNameOfAListHidesNoListing(t *testing.T) {
	rules, judged := builtinOf(t), 0
	for _, l := range rules.lists {
		if l.Zone == "" || l.Kind != "ip" {
			continue
		}
		for _, text := range []string{
			"554 5.7.1 Client host [203.0.113.10] blocked using %s", "550 203.0.113.10 is listed at %s", "554 5.7.1 203.0.113.10 is on the blocklist of %s", "550 5.7.1 Host 203.0.113.10 found in %s", "550 5.7.1 Mail from 203.0.113.10 refused, listed in %s",
			"554 Service unavailable; Client host [203.0.113.10] blocked by %s", "550 5.7.1 203.0.113.10 blacklisted by %s",
		} {
			text = strings.ReplaceAll(text, "%s", l.Zone)
			plain := rules.Classify(Query{Text: text, SendingIP: ours})
			for way, q := range map[string]Query{
				"sender": {Sender: "x@" + l.Zone}, "recipient": {Recipient: "x@" + l.Zone}, "EHLO": {EHLO: []string{l.Zone, "out10.example.jp"}}, "subject": {Subject: l.Zone}, "another field": {Said: []string{l.Zone}},
			} {
				q.Text, q.SendingIP = text, ours
				judged++
				if v := rules.Classify(q); v.Suspend != plain.Suspend {
					t.Errorf("%q, said as %s: %s, suspend %s by rule %q; else %s", text, way, v.Class, v.Suspend, v.Rule, plain.Suspend)
				}
			}
		}
	}
	t.Log(judged, "texts")
	if judged < 1000 {
		t.Error("too few")
	}
}

// A sender who borrows the domain of a provider, or of a list, hides none of its refusals: their links stand behind the words.
//
// law: I20
func TestABorrowedDomainHidesNoListing(t *testing.T) {
	rules := builtinOf(t)
	for text, sender := range map[string]string{
		"554 5.7.1 Client host [203.0.113.10] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/203.0.113.10":                         "x@spamhaus.org",
		"550 203.0.113.10 refused, see https://www.spamcop.net/bl.shtml?203.0.113.10":                                                                 "x@spamcop.net",
		"550 5.7.1 Unfortunately, messages from [203.0.113.10] weren't sent, part of their network is on our block list. http://mail.live.com/errors": "x@live.com",
		"550 https://psbl.org/listing?ip=203.0.113.10 has 203.0.113.10 listed":                                                                        "x@psbl.org",
	} {
		plain := rules.Classify(Query{Text: text, SendingIP: ours})
		if v := rules.Classify(Query{Text: text, SendingIP: ours, Sender: sender}); v.Suspend != plain.Suspend || plain.Suspend != Yes {
			t.Errorf("%q said by %s: %s, suspend %s by rule %q; else %s", text, sender, v.Class, v.Suspend, v.Rule, plain.Suspend)
		}
	}
}
