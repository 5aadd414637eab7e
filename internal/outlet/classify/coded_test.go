package classify

import (
	"fmt"
	"strings"
	"testing"
)

// A provider's code is none where the session has said it, nor where it is a mailbox's name.
//
// law: I20
func TestACodeThatWasSaidIsNoCode(t *testing.T) {
	rules := builtinOf(t)
	dead := []string{
		"550 5.1.1 %s... User unknown", "550 5.1.1 User %s unknown", "550 No such user %s here", "550 5.2.1 %s: mailbox disabled", "550 5.7.1 user %s does not accept mail from you",
		"550 5.1.1 %s not listed in Domino Directory", "550 5.1.1 Mailbox %s not found", "550 5.2.2 %s over quota", "550 5.1.1 unknown or illegal alias: %s",
		"550 5.7.1 %s is on vacation and refuses mail", "553 sorry, %s is not here (#5.1.1)", "550 5.1.0 Address rejected. %s", "550 %s: account closed", "550 5.1.1 RCPT TO %s refused",
		"550 5.1.1 <%s@uni.example>: Recipient address rejected", "550 5.7.1 [%s] is not available", "550 5.1.1 (%s) left us",
	}
	spoken := []string{"550 5.7.1 HELO %s not accepted", "554 5.7.1 subject (%s) is not wanted", "550 5.7.1 %s: what is that"}
	for _, code := range []string{"s3140", "S3150", "as3140", "bl21", "BL23", "tss07", "iptss07", "cxbl", "brbl", "xbl", "css", "sbl", "pbl", "ipbl0001", "flph1", "tss04", "tss09", "ofr101"} {
		queries := []Query{
			{Recipient: code + "@uni.example"},
			{Recipient: strings.ToUpper(code) + "@uni.example"},
			{Sender: "x." + code + "@acme.example"},
			{EHLO: []string{strings.ToUpper(code)}},
			{Subject: "Re: " + code},
			{Subject: "=?utf-8?q?Re=3A_" + code + "?="},
			{Said: []string{code + "@other.example"}},
		}
		for i, q := range queries {
			texts := dead
			if i >= 3 {
				texts = spoken
			}
			for _, text := range texts {
				q.Text, q.SendingIP = fmt.Sprintf(text, code), ours
				if v := rules.Classify(q); v.Suspend != No {
					t.Errorf("%q said by %+v: %s, suspend %s by rule %q", q.Text, queries[i], v.Class, v.Suspend, v.Rule)
				}
			}
		}
	}
	for _, text := range dead[:6] { // who forwards the mail may have found the name elsewhere
		for _, code := range []string{"s3140", "bl21", "tss07", "cxbl"} {
			q := Query{Text: fmt.Sprintf(text, code), SendingIP: ours, Recipient: "info@uni.example"}
			if v := rules.Classify(q); v.Suspend != No {
				t.Errorf("%q: %s, suspend %s by rule %q", q.Text, v.Class, v.Suspend, v.Rule)
			}
		}
	}
	for _, text := range []string{
		"550 5.7.1 Unfortunately, messages from [203.0.113.10] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).",
		"553 5.7.1 [BL21] Connections will not be accepted from 203.0.113.10, because the ip is in Spamhaus's list", "421 4.7.1 [TSS07] All messages from 203.0.113.10 will be permanently deferred",
		"554 cox.net CXBL 203.0.113.10 blocked",
	} {
		q := Query{Text: text, SendingIP: ours, Sender: "bl22@acme.example", Recipient: "tss08@uni.example", Subject: "S3141"}
		if v := rules.Classify(q); v.Suspend != Yes {
			t.Errorf("%q: %s, suspend %s by rule %q", text, v.Class, v.Suspend, v.Rule)
		}
	}
}
