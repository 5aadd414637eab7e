package find

import (
	"fmt"
	"strings"
	"testing"

	"kanmon/internal/event/journal"
)

// A term is taken for what people mean by it, in whatever brackets they have copied it.
func TestATermIsTakenForWhatPeopleMean(t *testing.T) {
	for written, want := range map[string]struct {
		kind  Kind
		first string // what is looked for first
	}{
		"alice@example.net": {KindAddress, "alice@example.net"}, "<alice@example.net>": {KindAddress, "alice@example.net"}, `"Alice" <alice@example.net>`: {KindAddress, "alice@example.net"},
		"mailto:alice@example.net": {KindAddress, "alice@example.net"}, " alice@example.net, ": {KindAddress, "alice@example.net"}, "@example.net": {KindDomain, "@example.net"},
		"4jYHGY1Bkqz3Z": {KindID, "4jYHGY1Bkqz3Z"}, "4jYHGY1Bkqz3Z:": {KindID, "4jYHGY1Bkqz3Z"}, "1tABCD-0001xY-2z": {KindID, "1tABCD-0001xY-2z"}, "example.net": {KindID, "example.net"},
		"17f3a9c2b4d5e6f0": {KindSession, "17f3a9c2b4d5e6f0"}, "17f3a9c2b4d5e6f0-3": {KindSession, "17f3a9c2b4d5e6f0"}, "203.0.113.10": {KindIP, "203.0.113.10"},
		"[2001:db8::25]": {KindIP, "2001:db8::25"}, "'or'1'='1@example.net": {KindAddress, "'or'1'='1@example.net"}, `"a b"@example.net`: {KindAddress, `"a b"@example.net`},
		`'alice@example.net'`: {KindAddress, "alice@example.net"}, "鈴木@example.jp": {KindAddress, "鈴木@example.jp"},
	} {
		term, err := Parse(written, journal.Mask{})
		if err != nil {
			t.Errorf("%q: %v", written, err)
			continue
		}
		f := term.Any[0]
		got := f.Recipient + f.ID
		if f.Session != 0 {
			got += f.Session.String()
		}
		if f.SendingIP.IsValid() {
			got += f.SendingIP.String()
		}
		if term.Kind != want.kind || got != want.first {
			t.Errorf("%q is taken for %s %q, want %s %q", written, term.Kind, got, want.kind, want.first)
		}
	}
	for _, none := range []string{"0000000000000000", "0000000000000000-1"} {
		if term, err := Parse(none, journal.Mask{}); err != nil || len(term.Any) > 0 && term.Any[0].ID != none {
			t.Errorf("%q, which no session has, is looked for as %+v (%v)", none, term.Any, err)
		}
	}
	for _, written := range []string{"", "  ", "@", "@nodots", "alice@", "two words", "a b@c d"} {
		if term, err := Parse(written, journal.Mask{}); err == nil {
			t.Errorf("%q is taken for %s", written, term.Kind)
		}
	}
}

// In records that hide people a term is what they have in its place, and nothing that is noted or looked for has the person.
func TestATermHidesWhomTheRecordsHide(t *testing.T) {
	bounce := "<canary.local@example.net>: host mx said: 550 5.1.1 no\n\nMessage-ID: <canary.local.1@acme.example>\n"
	for _, mode := range []journal.AddressMode{journal.AddressesHashed, journal.AddressesDomain} {
		shown := journal.Mask{Mode: mode, Key: []byte("0123456789abcdef")}
		for _, written := range []string{"canary.local@example.net", bounce} {
			term, err := Parse(written, shown)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(term.Noted(), "canary") || term.Noted() == "" {
				t.Errorf("%s: noted is %q", mode, term.Noted())
			}
			for _, f := range term.Any {
				if strings.Contains(f.Recipient+f.Sender+f.ID, "canary") {
					t.Errorf("%s: looked for is %+v", mode, f)
				}
			}
			if term.Blind != (mode == journal.AddressesDomain) {
				t.Errorf("%s: blind %v", mode, term.Blind)
			}
		}
		if hashed := shown.Address("alice@example.net"); mode == journal.AddressesHashed {
			if term, err := Parse(hashed, shown); err != nil || term.Any[0].Recipient != hashed {
				t.Errorf("what the records show, %q, is looked for as %+v", hashed, term.Any)
			}
		}
	}
}

// Mail of before the records began to hide people is found as it was recorded; what is noted of the search is what they show now.
func TestMailOfBeforeTheMaskIsFound(t *testing.T) {
	const who, id = "canary.local@example.net", "canary.local.1@acme.example"
	bounce := "<" + who + ">: host mx said: 550 5.1.1 no\n\nReturn-Path: <>\nMessage-ID: <" + id + ">\n"
	key := []byte("0123456789abcdef")
	for mode, want := range map[journal.AddressMode]map[string]string{ // recipients and ids that are looked for beside
		journal.AddressesClear:  {who: "", bounce: ""},
		journal.AddressesHashed: {who: who + " " + who, bounce: id + " " + who},
		journal.AddressesDomain: {who: "", bounce: id},
	} {
		for written, wants := range want {
			term, err := Parse(written, journal.Mask{Mode: mode, Key: key})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range term.Plain {
				if as := f.Recipient + f.ID; as != "" {
					got = append(got, as)
				}
			}
			if strings.Join(got, " ") != wants {
				t.Errorf("%s: %s is looked for also as %q, want %q", mode, term.Text, got, wants)
			}
			if mode != journal.AddressesClear && strings.Contains(term.Noted(), "canary") {
				t.Errorf("%s: noted is %q", mode, term.Noted())
			}
		}
	}
}

// Lines of single words are a list; a bounce is none.
func TestAListIsTold(t *testing.T) {
	list, is := Terms("alice@example.net,\r\n\r\n  \"Bob\" <bob@example.net>;\n4jYHGY1Bkqz3Z\n")
	if !is || strings.Join(list, " ") != "alice@example.net bob@example.net 4jYHGY1Bkqz3Z" {
		t.Errorf("%v, %q", is, list)
	}
	for _, name := range []string{"postfix-whole.txt", "exim-text.txt", "qmail.txt", "exchange.txt", "one-line.txt", "quoted-printable.txt"} {
		if list, is := Terms(bounceOf(t, name)); is {
			t.Errorf("%s is taken for a list: %q", name, list)
		}
	}
}

// Of a list all is noted, however long it is.
func TestAllOfAListIsNoted(t *testing.T) {
	var terms []Term
	for i := range MaxList {
		term, err := Parse(fmt.Sprintf("person-with-a-long-name-%d@customer.example", i), journal.Mask{})
		if err != nil {
			t.Fatal(err)
		}
		terms = append(terms, term)
	}
	places := Noted(terms)
	if all := strings.Split(strings.Join(places, ", "), ", "); len(all) != MaxList || all[MaxList-1] != terms[MaxList-1].Text {
		t.Errorf("%d of %d are noted, the last is %s", len(all), MaxList, all[len(all)-1])
	}
	for _, place := range places {
		if len(place) > MaxNoted {
			t.Errorf("%d octets in one place", len(place))
		}
	}
}
