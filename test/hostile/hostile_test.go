package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/test/traffic"
)

// Each kind of attack has a name, networks and a tenant of its own, and there are as many as were promised.
func TestKindsAreApart(t *testing.T) {
	names := make(map[string]bool)
	for i, k := range kinds {
		if names[k.name] || k.what == "" || (k.attack == nil) != (k.name == nothing) {
			t.Errorf("kind %d: %q, %q", i, k.name, k.what)
		}
		names[k.name] = true
		if n := evilNumber("d12." + evilDomain(i)); n != i || evilNumber("mx."+evilDomain(i)) != i {
			t.Errorf("%s is the domain of %d, want %d", evilDomain(i), n, i)
		}
		if !ownOf("mx:"+evilAddress(i, 1).String()) || !slices.Contains(addressesOf(mxOf(evilDomain(i))), evilAddress(i, 1)) {
			t.Errorf("%v is not %s's own", evilAddress(i, 1), k.name)
		}
	}
	if len(kinds) < 26 || 100+len(kinds) > 200 {
		t.Errorf("%d kinds", len(kinds))
	}
	for _, s := range sites {
		if ownOf("mx:"+s.address.String()) || ownOf("cox") || ownOf("*") || ownOf("friend.example") {
			t.Errorf("%v is taken for an attacker's", s.address)
		}
	}
}

// What is wrong is said, whatever it is, and what is not is not.
func TestVerdict(t *testing.T) {
	fine := window{group: "fine", wholeP95: 110 * time.Millisecond, dotP95: 33 * time.Millisecond}
	beside := window{group: "beside", wholeP95: 100 * time.Millisecond, dotP95: 30 * time.Millisecond}
	of := func(change func(*result, *rig)) *judged {
		r := &rig{ledger: traffic.NewLedger()}
		for _, group := range []string{"fine", "beside"} {
			mail := traffic.NewMail("H"+group, "a@honest1.example", []string{"b@gmail.com"}, 100)
			r.ledger.Enter(group, "", mail)
			r.ledger.Ended(mail, traffic.Outcome{Step: traffic.StepDot, Code: 250})
			r.ledger.Took(traffic.Copy{Token: mail.Token, Sum: mail.Sum(), Accepted: true})
			r.ledger.Recorded(mail.Token)
		}
		res := &result{
			kind: 5, windows: map[string][]window{kanmon.name: {fine}, copied.name: {beside}}, guilt: "tenant slow",
			tolls: map[string]toll{kanmon.name: {Sessions: 1}},
		}
		change(res, r)
		return r.judge(res, 1)
	}
	for _, c := range []struct {
		want   string
		change func(*result, *rig)
	}{
		{"", func(*result, *rig) {}},
		{"", func(res *result, _ *rig) { res.resident = maxResident }},
		{"MiB resident", func(res *result, _ *rig) { res.resident = maxResident + 1 }},
		{"MiB resident", func(res *result, _ *rig) { res.resident, res.heldAtFirst = maxResident+1, maxResident+1 }},
		{"p95 is 2.00 times", func(res *result, _ *rig) {
			res.windows[kanmon.name][0].wholeP95 *= 2
			res.windows[kanmon.name][0].wholeP95 -= 20 * time.Millisecond
		}},
		{"p95 of the dot is 2.20 times", func(res *result, _ *rig) { res.windows[kanmon.name][0].dotP95 *= 2 }},
		{"", func(res *result, _ *rig) {
			res.windows[kanmon.name][0].dotP95 *= 2
			res.windows[kanmon.name][0].others = 0.5
		}},
		{"suspended at cox", func(res *result, _ *rig) { res.harm = []string{"203.0.113.10 suspended at cox"} }},
		{"not contained", func(res *result, _ *rig) { res.guilt = "" }},
		{"nothing to compare with", func(res *result, _ *rig) { res.windows[copied.name][0].group = "none" }},
		{"no answer", func(res *result, _ *rig) { res.silent = true }},
		{"did not take place", func(res *result, _ *rig) { res.tolls = nil }},
		{"1 honest mails were not taken", func(_ *result, r *rig) {
			mail := traffic.NewMail("Hmore", "a@honest1.example", []string{"b@gmail.com"}, 100)
			r.ledger.Enter("fine", "", mail)
			r.ledger.Ended(mail, traffic.Outcome{Step: traffic.StepBanner, Code: 421})
		}},
		{"1 lost", func(_ *result, r *rig) {
			mail := traffic.NewMail("Hmore", "a@honest1.example", []string{"b@gmail.com"}, 100)
			r.ledger.Enter("fine", "", mail)
			r.ledger.Ended(mail, traffic.Outcome{Step: traffic.StepDot, Code: 250})
		}},
		{"neither on record nor counted", func(_ *result, r *rig) {
			mail := traffic.NewMail("Hmore", "a@honest1.example", []string{"b@gmail.com"}, 100)
			r.ledger.Enter("fine", "", mail)
			r.ledger.Ended(mail, traffic.Outcome{Step: traffic.StepDot, Code: 250})
			r.ledger.Took(traffic.Copy{Token: mail.Token, Sum: mail.Sum(), Accepted: true})
		}},
	} {
		j := of(c.change)
		if got := strings.Join(j.wrong, "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("want %q, got %q", c.want, got)
		}
	}
}

// What an attacker has lost of its own records excuses nothing that is missing of the honest.
func TestOnlyTheHonestOwnLossesCount(t *testing.T) {
	r := &rig{ledger: traffic.NewLedger()}
	res := &result{windows: map[string][]window{kanmon.name: {{group: "g"}}}}
	r.results = append(r.results, res)
	for _, token := range []string{"H1", "H2", "H3"} {
		mail := traffic.NewMail(token, "a@honest1.example", []string{"b@gmail.com"}, 100)
		r.ledger.Enter("g", "", mail)
		r.ledger.Ended(mail, traffic.Outcome{Step: traffic.StepDot, Code: 250})
		r.ledger.Took(traffic.Copy{Token: token, Sum: mail.Sum(), Accepted: true})
	}
	file := filepath.Join(t.TempDir(), "records.jsonl")
	lines := fmt.Sprintf(`{"type":"dropped","records":500,"tenant":%q}`+"\n", kinds[1].tenant()) +
		`{"type":"dropped","records":500,"source":"10.0.0.1"}` + "\n" + `{"type":"dropped","records":1,"tenant":"honest1"}` + "\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.read(movedRecords{file, res}); err != nil {
		t.Fatal(err)
	}
	if n := r.uncounted(); n != 2 || res.dropped != 1 {
		t.Errorf("%d neither on record nor counted, %d counted, want 2 and 1", n, res.dropped)
	}
}

// A list of Chinese is cut at a character, and a reply of the size that was asked for.
func TestLongReplies(t *testing.T) {
	for _, c := range []struct {
		words  string
		octets int
	}{{"fine ", 58 << 10}, {"用户不存在", 2 << 10}} {
		text := long("250", c.words, c.octets)
		if strings.ToValidUTF8(text, "?") != text || len(text) < c.octets*3/4 || len(text) > c.octets*5/4 {
			t.Errorf("%d octets of %q, want about %d", len(text), text[:20], c.octets)
		}
	}
}

func TestSixOfIsTheAttackers(t *testing.T) {
	a := &attacker{order: order{Kind: 19, Via: viaKanmon}}
	if ip, want := a.sixOf(), netip.MustParsePrefix("fd77:0:77::/64"); !want.Contains(ip) {
		t.Errorf("%v is not in %v", ip, want)
	}
}

// The page has every kind, in the words of the table.
func TestPageHasAllKinds(t *testing.T) {
	page, err := os.ReadFile("../../docs/dev/hostile.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		if row := "| `" + k.name + "` | " + k.what + " |\n"; !strings.Contains(string(page), row) {
			t.Errorf("docs/dev/hostile.md lacks %q", row)
		}
	}
}
