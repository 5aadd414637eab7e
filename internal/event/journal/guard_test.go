package journal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kanmon/internal/event"
)

var testKey = []byte("0123456789abcdef0123456789abcdef")

func hashed(local string) string {
	m := hmac.New(sha256.New, testKey)
	m.Write([]byte(strings.ToLower(local)))
	return hex.EncodeToString(m.Sum(nil))[:12]
}

// shownBy is what a guard shows of a text that is whole.
func shownBy(g *guard, text string, k kind) string {
	shown, _ := g.text([]byte(text), k, false)
	return string(shown)
}

func TestCredentialsAreTakenOutInEveryMode(t *testing.T) {
	for _, c := range []struct {
		k          kind
		text, want string
	}{
		{kindCommand, "AUTH PLAIN AHVzZXIAcGFzcw==", "AUTH [redacted]"},
		{kindCommand, "  auth\tlogin dXNlcg==", "  auth [redacted]"},
		{kindCommand, "AUTH=PLAIN AHVzZXI=", "AUTH [redacted]"},
		{kindCommand, "AUTH", "AUTH"},
		{kindCommand, "AUTH LOGIN x\ndXNlcg==\ncGFzcw==\nQUIT", "AUTH [redacted]\n[redacted]\n[redacted]\nQUIT"},
		{kindCommand, "NOOP\nAUTH PLAIN AHVzZXIAcGFzcw==", "NOOP\nAUTH [redacted]"},
		{kindCommand, "MAIL FROM:<> AUTH=secret SIZE=3", "MAIL FROM:<> AUTH=[redacted] SIZE=3"},
		{kindCommand, "MAIL FROM:<>auth=a+40b AUTH=b", "MAIL FROM:<>auth=[redacted] AUTH=[redacted]"},
		{kindCommand, "MAIL FROM:<> AUTH=", "MAIL FROM:<> AUTH=[redacted]"},
		{kindReply, "334 VXNlcm5hbWU6", "334 [redacted]"},
		{kindReply, "555 5.5.4 Unsupported option: AUTH=secret", "555 5.5.4 Unsupported option: AUTH=[redacted]"},
		{kindReply, "250-mx\n250-AUTH=LOGIN PLAIN\n250 AUTH LOGIN PLAIN", "250-mx\n250-AUTH=LOGIN PLAIN\n250 AUTH LOGIN PLAIN"},
	} {
		for _, mode := range []AddressMode{AddressesClear, AddressesHashed, AddressesDomain} {
			g := newGuard(mode, testKey)
			g.begin(owner{}, event.NewRecord())
			if got := shownBy(g, c.text, c.k); got != c.want {
				t.Errorf("%v: %q: %q, want %q", mode, c.text, got, c.want)
			}
		}
	}
}

func TestSecretsOverLines(t *testing.T) {
	r := newRecord()
	addLine(r, 0, event.MarkFromMSA, "AUTH LOGIN")
	addLine(r, 0, event.MarkToMSA, "502 5.5.1 no")
	addLine(r, 0, event.MarkFromMSA, "cGFzc3dvcmQ=")
	addLine(r, 0, event.MarkFromMSA, "QUIT")
	f := newFormatter(Options{Addresses: AddressesClear, HashKey: nil})
	f.begin(r)
	got := string(f.sessionLog(r))
	if strings.Contains(got, "cGFzc3") || !strings.Contains(got, ">| QUIT") || !strings.Contains(got, "502 5.5.1 no") {
		t.Error(got)
	}
}

func TestAddressesInTexts(t *testing.T) {
	h := hashed
	for _, c := range []struct {
		k          kind
		text, want string
	}{
		{kindCommand, "MAIL FROM:<Alice@Dom.example> SIZE=9", "MAIL FROM:<" + h("alice") + "@Dom.example> SIZE=9"},
		{kindCommand, "mail from: <> BODY=8BITMIME", "mail from: <> BODY=8BITMIME"},
		{kindCommand, "RCPT TO:<@a.example,@b.example:carol@c.example>", "RCPT TO:<@a.example,@b.example:" + h("carol") + "@c.example>"},
		{kindCommand, `RCPT TO:<"john > \"doe"@c.example>`, "RCPT TO:<" + h(`john > "doe`) + "@c.example>"},
		{kindCommand, `RCPT TO:<"a@secret">`, "RCPT TO:<" + h("a@secret") + ">"},
		{kindCommand, "RCPT TO:<postmaster>", "RCPT TO:<" + h("postmaster") + ">"},
		{kindCommand, "RCPT TO:<日本@例.jp>", "RCPT TO:<" + h("日本") + "@例.jp>"},
		{kindCommand, "RCPT TO:<u@[192.0.2.1]>", "RCPT TO:<" + h("u") + "@[192.0.2.1]>"},
		{kindCommand, "RCPT TO:bob@c.example NOTIFY=NEVER", "RCPT TO:" + h("bob") + "@c.example NOTIFY=NEVER"},
		{
			kindCommand, "RCPT TO:<bob@c.example> ORCPT=rfc822;Bob+2Bx@c.example",
			"RCPT TO:<" + h("bob") + "@c.example> ORCPT=rfc822;" + h("bob+x") + "@c.example",
		},
		{kindCommand, "RCPT TO:<b@c.example> ORCPT=carol", "RCPT TO:<" + h("b") + "@c.example> ORCPT=" + h("carol")},
		{kindCommand, "MAIL FROM:<a@b.example> ENVID=carol+2B1 RET=HDRS", "MAIL FROM:<" + h("a") + "@b.example> ENVID=" + h("carol+1") + " RET=HDRS"},
		{kindCommand, "RCPT alice@b.example", "RCPT [redacted]"},
		{kindCommand, "RCPT TO:<alice", "RCPT [redacted]"},
		{kindCommand, "VRFY alice", "VRFY [redacted]"},
		{kindCommand, "RCTP TO:<alice@b.example>", "RCTP TO:<" + h("alice") + "@b.example>"},
		{kindReply, "550 5.1.1 <bob@c.example>: no such user", "550 5.1.1 <" + h("bob") + "@c.example>: no such user"},
		{kindReply, "550 5.1.1 (bob@c.example) 'eve@c.example' x:eve@c.example.", "550 5.1.1 (" + h("bob") + "@c.example) '" + h("eve") + "@c.example' x:" + h("eve") + "@c.example."},
		{kindReply, `550 "bob@c.example" unknown`, `550 "` + h("bob") + `@c.example" unknown`},
		{kindReply, `550 "b o b"@c.example unknown`, "550 " + h("b o b") + "@c.example unknown"},
		{kindReply, "550 bounces+bob=c.example@list.example", "550 " + h("bounces+bob=c.example") + "@list.example"},
		{kindReply, "550 a@b@c.example", "550 " + h("a") + "@" + h("b") + "@c.example"},
		{kindReply, "550 some text b\"@c.example", "550 [redacted]@c.example"},
		{kindReply, "354 End data with <CR><LF>.<CR><LF>", "354 End data with <CR><LF>.<CR><LF>"},
		{kindReply, "250-mx.example\n250 SIZE 10", "250-mx.example\n250 SIZE 10"},
		{kindNote, "connected from 192.0.2.1:25", "connected from 192.0.2.1:25"},
		{kindNote, "sender eve@c.example is over its limit", "sender " + h("eve") + "@c.example is over its limit"},
	} {
		g := newGuard(AddressesHashed, testKey)
		g.begin(owner{}, event.NewRecord())
		if got := shownBy(g, c.text, c.k); got != c.want {
			t.Errorf("hashed: %q:\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

// An address does not stay because its "@" is written in other octets, whether its owner is named elsewhere in the record or not.
func TestEncodedAddresses(t *testing.T) {
	h := hashed
	for _, c := range []struct{ text, want string }{
		{"550 see https://x.example/?who=alice%40dom.example&c=1", "550 see https://x.example/?who=" + h("alice") + "%40dom.example&c=1"},
		{"550 https://x.example/unsub/alice.b%40dom.example/now", "550 https://x.example/unsub/" + h("alice.b") + "%40dom.example/now"},
		{"550 ?a=alice%2btag%40dom.example,?b=bob%2540dom.example", "550 ?a=" + h("alice+tag") + "%40dom.example,?b=" + h("bob") + "%2540dom.example"},
		{"550 alice=40dom.example and bob+40dom.example", "550 " + h("alice") + "=40dom.example and " + h("bob") + "+40dom.example"},
		{"550 alice&#64;dom.example", "550 " + h("alice") + "&#64;dom.example"},
		{"550 ?a=x%40a.example&b=y%40b.example", "550 ?a=" + h("x") + "%40a.example&b=" + h("y") + "%40b.example"},
		{"550 100%40 of it, %40dom.example, a=40 b", "550 100%40 of it, %40dom.example, a=40 b"},
	} {
		g := newGuard(AddressesHashed, testKey)
		g.begin(owner{}, event.NewRecord())
		if got := shownBy(g, c.text, kindReply); got != c.want {
			t.Errorf("%q:\n     %q\nwant %q", c.text, got, c.want)
		}
	}
}

func TestBareLocalParts(t *testing.T) {
	r := transactionRecord("News+list@acme.example", "bob@c.example", `"john doe"@c.example`, "550@c.example", "Ünïcode@c.example", "verylongname@c.example")
	g := newGuard(AddressesDomain, nil)
	g.begin(owner{}, r)
	for text, want := range map[string]string{
		"550 5.1.1 BOB: unknown":                            "550 5.1.1 *: unknown",
		"550 5.1.1 bobby, user_bob, bob's":                  "550 5.1.1 bobby, user_*, *'s",
		"550 5.1.1 john doe is full":                        "550 5.1.1 * is full",
		`550 5.1.1 "John Doe" is full`:                      `550 5.1.1 * is full`,
		"550 550 is nobody":                                 "550 * is nobody",
		"550 ÜNÏCODEさん":                                     "550 *さん",
		"550 xverylongnamex":                                "550 x*x",
		"550 news is full; news+LIST":                       "550 * is full; *",
		"550 bob@c.example BOB@C.EXAMPLE <bob>":             "550 *@c.example *@C.EXAMPLE <*>",
		"550 x@bob.example eve@c.example. eve@c.examplebob": "550 *@*.example *@c.example. *@c.examplebob",
		"550 x@c.exampleverylongname":                       "550 *@c.example*",
		"550 /var/mail/bob/new bob=c.example":               "550 /var/mail/*/new *=c.example",
	} {
		if got := shownBy(g, text, kindReply); got != want {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
	}
}

func TestLocalPartsAreCarriedThroughASession(t *testing.T) {
	g := newGuard(AddressesDomain, nil)
	waiting := newRecord()
	addLine(waiting, 0, event.MarkToMX, "RCPT TO:<bob@c.example>")
	g.begin(owner{}, waiting)
	say := func(r *event.Record) string {
		g.begin(owner{}, r)
		return shownBy(g, "550 no bob here", kindReply)
	}
	const hidden, shown = "550 no * here", "550 no bob here"
	if got := say(newRecord()); got != hidden {
		t.Errorf("next record: %q", got)
	}
	other := newRecord()
	other.Session.ID++
	if got := say(other); got != shown {
		t.Errorf("another session: %q", got)
	}
	if got := say(transactionRecord("", "carol@c.example")); got != hidden {
		t.Errorf("transaction record: %q", got)
	}
	if got := say(newRecord()); got != shown {
		t.Errorf("after the transaction: %q", got)
	}
	last := newRecord()
	last.End = new(event.End)
	g.begin(owner{}, last)
	if len(g.carried.of) != 0 {
		t.Errorf("left behind: %v", g.carried.of)
	}
	for i := range maxCarried + 10 {
		r := transactionRecord("", "bob@c.example")
		r.Session.ID = event.ID(i)
		g.begin(owner{}, r)
		r.Release()
	}
	if len(g.carried.of) != maxCarried {
		t.Errorf("%d sessions carried", len(g.carried.of))
	}
}

// A tenant whose sessions name as many people as they can, and wait, takes no more than its part of what is remembered, and nobody's room.
func TestCarriedLocalPartsAreBounded(t *testing.T) {
	c := newCarried()
	loud, quiet := owner{tenant: "loud"}, owner{tenant: "quiet"}
	var many []string
	for i := range 1000 {
		many = append(many, strings.Repeat("a", 400)+fmt.Sprint(i))
	}
	for id := range event.ID(200) {
		c.add(loud, id, many)
	}
	if c.octets > maxCarriedOctets*9/10 || c.octets < maxCarriedOctets/2 {
		t.Errorf("%d octets remembered", c.octets)
	}
	c.add(quiet, 1000, []string{"bob", "alice"})
	if got := c.locals(1000); len(got) != 2 {
		t.Errorf("of the quiet tenant: %q", got)
	}
	for id := range event.ID(1001) {
		c.drop(id)
	}
	if c.octets != 0 || len(c.has) != 0 || len(c.of) != 0 {
		t.Errorf("left behind: %d octets, %v", c.octets, c.has)
	}
}

// replyShapes are ways in which receivers name an address %[1]s or its local part %[2]s.
var replyShapes = []string{
	"550 5.1.1 <%[1]s>: Recipient address rejected: User unknown in virtual mailbox table",
	"550 5.1.1 %[1]s... User unknown", "550 5.1.1 The email account that you tried to reach (%[1]s) does not exist.",
	"550 unknown user: %[2]s", "550 No such user %[2]s here", "553 \"%[1]s\" is not local", "550 '%[2]s'", "250 %[1]s ok",
	"550-5.1.1 a:%[1]s;b=%[1]s,%[1]s\n550 5.1.1 /var/mail/%[2]s", "451 mailto:%[1]s", "552 5.2.2 %[2]s's mailbox is full", "550 [%[2]s]",
	"550 rfc822;%[1]s", "550 user_%[2]s", "550 %[2]s=dom.example@verp.example", "550 bounce+%[2]s=dom.example@verp.example", "%[2]s",
	"421 4.7.0 \x1b[1m%[1]s\x00%[2]s\r", "550 宛先 %[1]s は存在しません", "550 ユーザー「%[2]s」", "250 2.1.5 %[2]s", "550-%[2]s\n550-%[1]s\n550 <%[2]s>",
	"550 %[2]s@", "550 @%[2]s", "550 <%[2]s", "550 \"%[2]s", "550 %[1]s@%[1]s", "550 <@relay.example:%[1]s>", "550 ORCPT=rfc822;%[1]s", "550 %[2]s%%dom.example@relay.example",
}

// Property: whatever shape an address has and wherever the MX names it, its local part is in neither sink.
func TestNoLocalPartLeaks(t *testing.T) {
	var checked int
	rapid.Check(t, func(t *rapid.T) {
		canary := rapid.StringMatching(`[a-z]{1,4}[0-9]{2,3}[a-z]{2,6}`).Draw(t, "canary")
		wrap := rapid.SampledFrom([]string{"%s", `"%s"`, `"%s x"`, `"x\\"%s"`, "%s+tag", "first.%s", "日本%s", "v=%s=x", `"<%s>@y"`, "%s-owner"}).Draw(t, "wrap")
		local := fmt.Sprintf(wrap, canary)
		address := local + "@" + rapid.SampledFrom([]string{"dom.example", "[192.0.2.1]", "例.jp", "DOM.example"}).Draw(t, "domain")
		shape := rapid.SampledFrom(replyShapes).Draw(t, "shape")
		show := rapid.SampledFrom([]func(string) string{strings.ToUpper, strings.ToLower, strings.Clone}).Draw(t, "case")
		said := fmt.Sprintf(shape, show(address), show(local))
		mode := rapid.SampledFrom([]AddressMode{AddressesHashed, AddressesDomain}).Draw(t, "mode")
		waits := rapid.Bool().Draw(t, "waits")
		first, f := newRecord(), newFormatter(Options{Addresses: mode, HashKey: testKey})
		lines := first
		r := transactionRecord("", address)
		if !waits {
			lines = r
		}
		addLine(lines, 0, event.MarkFromMSA, "MAIL FROM:<"+address+"> ENVID="+canary+" AUTH="+canary)
		addLine(lines, 0, event.MarkToMX, "RCPT TO:<"+address+"> ORCPT=rfc822;"+address)
		addLine(lines, 0, event.MarkFromMX, said)
		addLine(r, 0, event.MarkToMSA, said, time.Millisecond, time.Millisecond)
		r.Transaction.Recipients[0].Reply = reply(r, 550, said, 1, 1)
		r.Transaction.Dot = reply(r, 550, said, 1, 1)
		r.Transaction.Cause = said
		r.End = &event.End{Cause: said}
		out := ""
		for _, r := range []*event.Record{first, r} {
			f.begin(r)
			out += string(f.sessionLog(r)) + string(f.json(r))
		}
		if strings.Contains(strings.ToLower(out), canary) {
			t.Fatalf("%q leaks from %q:\n%s", canary, said, out)
		}
		checked++
	})
	t.Logf("%d records, 0 leaks", checked)
}

// What strangers can make of one record must not hold up the records of all others for long.
func TestHostileRecordIsFormattedSoon(t *testing.T) {
	for name, text := range map[string]string{
		"local part again and again": strings.Repeat("aaaaaaaaaaaaaaaa=", 4000),
		"quotes":                     strings.Repeat(`"`, 64<<10),
		"escaped quotes":             strings.Repeat(`"\`, 32<<10),
		"brackets":                   strings.Repeat("<", 64<<10),
		"brackets that close late":   strings.Repeat(strings.Repeat("<", 500)+">@", 130),
		"at signs":                   strings.Repeat("@", 64<<10),
		"short addresses":            strings.Repeat("a@", 32<<10),
		"quoted ends":                strings.Repeat(`x"@`, 20<<10),
		"lines":                      strings.Repeat("\n", 64<<10),
		"AUTH":                       strings.Repeat(" AUTH=", 10<<10),
	} {
		var rcpts []string
		for i := range 1000 {
			rcpts = append(rcpts, strings.Repeat("a", 40)+fmt.Sprint(i)+"@c.example")
		}
		r := transactionRecord("aaaaaaaaaaaaaaaa@c.example", rcpts...)
		r.Transaction.Dot = reply(r, 550, text, 1, 1)
		addLine(r, 0, event.MarkFromMX, text)
		f := newFormatter(Options{Addresses: AddressesHashed, HashKey: testKey})
		began := time.Now()
		f.begin(r)
		f.sessionLog(r)
		f.json(r)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: %v", name, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}

// FuzzGuard: a local part of its own letters is never shown, in whatever text it stands by itself, and nothing panics.
func FuzzGuard(f *testing.F) {
	for _, shape := range replyShapes {
		f.Add(shape, byte(2), byte(1))
	}
	f.Add("%[1]s%[2]s", byte(0), byte(1))
	f.Add(`MAIL FROM:<%[1]s> ENVID=%[2]s`, byte(1), byte(2))
	f.Add(`RCPT TO:<"%[2]s`, byte(1), byte(1))
	f.Add("AUTH PLAIN %[2]s", byte(1), byte(2))
	f.Fuzz(func(t *testing.T, shape string, k, mode byte) {
		const canary = "qzx7canary7xzq"
		text := strings.NewReplacer("%[1]s", canary+"@dom.example", "%[2]s", canary).Replace(shape)
		r := transactionRecord(canary + "@dom.example")
		g := newGuard(AddressMode(1+mode%2), testKey)
		g.begin(owner{}, r)
		got := shownBy(g, text, kind(k%3))
		if strings.Contains(strings.ToLower(got), canary) {
			t.Fatalf("%q gives %q", text, got)
		}
		if n, m := strings.Count(got, "\n"), strings.Count(text, "\n"); n != m && len(text) <= maxText {
			t.Fatalf("%q: %d lines became %d", text, m, n)
		}
		got = string(g.address([]byte(text)))
		if text != "" && strings.Contains(strings.Split(strings.ToLower(got), "@")[0], canary) {
			t.Fatalf("path %q gives %q", text, got)
		}
	})
}

// A local part is never passed over for what it begins with, in whatever letter case a text has it; what no local part begins with is.
func TestLocalPartsAreLookedForWhereTheyBegin(t *testing.T) {
	var s localSet
	s.reset()
	for _, local := range []string{"alice", "Kelvin", "户口", "émile", "ǆ", "ß", "ﬁ", "1st", "ſam"} {
		s.add([]byte(local))
		for _, spelled := range []string{local, strings.ToUpper(local), strings.ToLower(local), strings.ToTitle(local)} {
			if may, size := s.mayBegin([]byte(spelled)); !may || size == 0 {
				t.Errorf("%q is passed over, though %q is known", spelled, local)
			}
		}
	}
	for _, kelvin := range []string{"k", "K", "\u212a"} {
		if may, _ := s.mayBegin([]byte(kelvin + "elvin")); !may {
			t.Errorf("%q is passed over", kelvin)
		}
	}
	passed := 0
	for r := rune(0x4e00); r < 0x9fff; r++ {
		if may, size := s.mayBegin([]byte(string(r))); !may && size == 3 {
			passed++
		}
	}
	if passed < 20_000 {
		t.Errorf("of 20,991 signs that nothing begins with %d are passed over", passed)
	}
}
