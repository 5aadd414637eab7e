package policy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
)

// An order that nobody's mail would meet is refused, with what would be right: it is not told as done.
func TestOrdersForNobodyAreRefused(t *testing.T) {
	list := contain.List
	byName := namingBy(Accounts{})
	for _, c := range []struct {
		settings Settings
		account  string
		right    string // in the error; "": there is none
		domain   bool   // all accounts of a domain
	}{
		{settingsWith(), "*@acme.example", `"@acme.example"`, false},
		{settingsWith(), "*@ACME.example", `"@acme.example"`, false},
		{settingsWith(), "b*@acme.example", `"@acme.example"`, false},
		{settingsWith(), "acme.example", `"@acme.example"`, false},
		{settingsWith(), "*.acme.example", "an address", false},
		{settingsWith(), "*", "an address", false},
		{byName, "*@acme.example", `"@acme.example"`, false},
		{settingsWith(), "bob@acme.example", "", false},
		{settingsWith(), "root", "", false},
		{byName, "b.o.b", "", false},
		{settingsWith(), "@acme.example", "", true},
	} {
		c.settings.Limits = []*Limit{rule("hour", limit.PerAccount, 10)}
		r := newRig(t, c.settings, nil)
		of := ofAcme(c.account)
		for order, err := range map[string]error{
			"block": r.Block(of, time.Time{}, "op", "x"), "kind": r.SetKind(of, &list, "op", "x"),
			"exempt": r.Exempt(of, time.Time{}, "op", "x"), "limit": r.SetLimit(of, "hour", 5, "op", "x"),
		} {
			right := c.right
			if c.domain && (order == "exempt" || order == "limit") {
				right = "bob@acme.example"
			}
			if right == "" && err != nil || right != "" && (!errors.Is(err, ErrAccount) || !strings.Contains(err.Error(), right)) {
				t.Errorf("%s %q: %v, want an error that says %s", order, c.account, err, right)
			}
		}
	}
}

// A blocked domain is all accounts of it, known or not, until the block ends.
func TestBlockOfADomain(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	if err := r.Block(ofAcme("@ACME.example"), r.Now().Add(time.Hour), "op", "all of it"); err != nil {
		t.Fatal(err)
	}
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	send := func(from string) session.Decision { return v.send(from, rcpt, nil).refused }
	for _, from := range []string{"bob@acme.example", "Tom+x@Acme.Example"} {
		if d := send(from); !d.Say.Of(replies.Blocked) || !strings.Contains(d.Say.String(), " until 2026-03-02 11:00 UTC") || len(d.Notes) != 1 || !strings.Contains(d.Notes[0].Why, "all of it") {
			t.Errorf("%s: %v %q %+v", from, d.Refuse, d.Say, d.Notes)
		}
	}
	for _, from := range []string{"bob@sub.acme.example", "bob@other.example", ""} {
		if d := send(from); d.Refuse != session.RefuseNot {
			t.Errorf("%s: %v %q", from, d.Refuse, d.Say)
		}
	}
	if err := r.Unblock(ofAcme("@acme.example"), "op", ""); err != nil {
		t.Error(err)
	}
	if d := send("bob@acme.example"); d.Refuse != session.RefuseNot {
		t.Errorf("after the block: %q", d.Say)
	}
}
