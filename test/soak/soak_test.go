package main

import (
	"testing"

	"kanmon/test/traffic"
)

// What a tenant has lost of its own records excuses nothing that is missing of another's.
func TestOnlyTheirOwnLossesCount(t *testing.T) {
	r := &rig{ledger: traffic.NewLedger(), records: traffic.Records{Dropped: map[string]int{"rough": 500, "10.0.0.1": 500, "beta": 1}}}
	for i, tenant := range []string{"acme", "beta", "beta", "rough"} {
		mail := traffic.NewMail("T"+string(rune('a'+i)), "a@example.com", []string{"b@mx.example"}, 100)
		r.ledger.Enter(tenant, "", mail)
		r.ledger.Ended(mail, traffic.Outcome{Step: traffic.StepDot, Code: 250})
		r.ledger.Took(traffic.Copy{Token: mail.Token, Sum: mail.Sum(), Accepted: true})
	}
	if n := r.uncounted(); n != 2 {
		t.Errorf("%d copies neither on record nor counted, want one of acme's and one of beta's", n)
	}
}
