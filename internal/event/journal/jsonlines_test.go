package journal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// fullRecord has every field set.
func fullRecord() *event.Record {
	r := newRecord()
	ms := time.Millisecond
	r.Session.MX = event.TLS{
		State: event.TLSOn, Version: tls.VersionTLS13, Cipher: tls.TLS_AES_128_GCM_SHA256, Curve: uint16(tls.X25519),
		Cause: event.TLSResumed, Certificate: &event.Certificate{
			Names: []string{"mx.example.net", "*.example.net\r\n\""}, Verified: true, NotAfter: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}
	r.Session.MSA = &event.TLS{State: event.TLSDowngraded, Err: "handshake: EOF"}
	r.Session.Way = &event.Way{Tenant: "acme", Pool: "transactional", Route: "route 3 (line 41)", Provider: "docomo"}
	r.Session.Phases[event.PhaseDial] = event.MicrosOf(12 * ms)
	r.Session.Phases[event.PhaseEHLOTLS] = event.MicrosOf(1234567)
	r.Transaction = &event.Transaction{
		Number: 2, At: 1500 * ms, Sender: r.Add([]byte("news@acme.example")),
		Mail: reply(r, 250, "250 2.1.0 Ok", ms, ms),
		Recipients: []event.Recipient{
			{Address: r.Add([]byte("alice@example.net")), Reply: reply(r, 250, "250 2.1.5 Ok", ms, 2*ms), Trust: &event.Trust{
				Domain: "example.net", Policy: event.TrustSTS, Verdict: event.TrustWouldRefuse, Why: event.HostMismatch, Name: "mx\"1.example.net", ServerName: "mx1.example.net",
				Detail: "the certificate is for \x1b[2J other.example", Age: 3 * time.Hour, Waited: event.MicrosOf(120 * ms),
			}},
			{Address: r.Add([]byte("bob@example.net")), Reply: reply(r, 550, "550-5.1.1 <bob@example.net>\n550 5.1.1 \x1b[2Jno \"bob\" here\\", ms, 900*ms)},
			{Address: r.Add([]byte("carol@example.net"))},
			{Address: r.Add([]byte("dave@example.net")), Reply: event.Reply{Code: 550, Softened: true, Text: r.Add([]byte("550 5.7.1 listed"))}},
		},
		MoreRcpts: 7,
		Data:      reply(r, 354, "354 go on", ms, ms),
		Body:      3 * time.Second, Window: 2500 * ms, Stalled: 1200 * ms, BodyBytes: 50 << 20,
		Dot:     event.Reply{Code: 451, Local: true, Text: r.Add([]byte("451 4.4.2 kanmon: state unknown")), Took: event.MicrosOf(time.Minute)},
		Outcome: event.OutcomeAmbiguous, Cause: "read: connection reset",
		Content: &event.Content{
			Lane: event.LaneTee, Wanted: event.LaneHold, Verdict: event.HandleRefuse, Done: event.HandleAccept, Rule: "reject", Why: "no room \x1b[2Jfor a hold",
			Reference: "7F3K-20A1", Octets: 4096, Prepended: 30, Waited: event.MicrosOf(1500 * ms),
			Scans: []event.Scan{
				{
					Scanner: "rspamd", State: event.Scanned, Action: "add \"header\"", Score: 6.4, Threshold: 15, Took: event.MicrosOf(3 * ms), Cached: true, Changes: 2,
					Symbols: []event.Symbol{{Name: "URIBL_X", Points: 4.5}, {Name: "B\x1b", Points: -0.25}},
				},
				{Scanner: "clamd", State: event.ScanFailed, Lack: event.LackUnavailable, Code: 451, Why: "read: connection reset", Virus: "Test\nEICAR"},
			},
		},
		Identity: &event.Identity{
			MessageID: r.Add([]byte("20261130.1\x1b[2J@acme.example")), QueueID: r.Add([]byte("4jYHGY1Bkqz3Z")), Received: start.Add(-time.Minute),
		},
	}
	r.Actions = []event.Action{
		{
			At: time.Second, Done: time.Second, Transaction: 2, Phase: event.PhaseRcpt, SendingIP: netip.MustParseAddr("203.0.113.10"), Code: 550,
			Reply: r.Add([]byte("550 5.7.1 <bob@example.net> refused: 203.0.113.10 is \x1b[2Jlisted")), Class: event.IPBlocklisted, Rule: "listed",
			Did: event.Rescued, To: netip.MustParseAddr("203.0.113.11"), Took: 1500 * ms,
		},
		{Phase: event.PhaseDial, SendingIP: netip.MustParseAddr("203.0.113.10"), Class: event.IPBlocklisted, Rule: "rst", Did: event.RescueFailed, Took: ms, Why: "no other sending IP"},
	}
	r.Decisions = []event.Decided{{
		At: 1500 * ms, Transaction: 2, Step: event.StepMail,
		Note: event.Note{Did: "would_defer", Tenant: "acme", Account: "news@acme.example", Rule: "limit 1 (line 40)", Why: "1001 messages of 1000 in 1h"},
	}}
	r.End = &event.End{
		Duration: 62 * time.Second, Transactions: 2, Delivered: 1, BadCommands: 3, FromMSA: 1, ToMSA: 2, FromMX: 3, ToMX: 4,
		Phase: event.PhaseDot, Reason: "mx_lost", Cause: "read: connection reset",
		Legs: []event.Leg{
			{
				Number: 1, SendingIP: netip.MustParseAddr("203.0.113.10"), Failed: event.DialRefused, Opened: event.HundredthsOf(120 * ms),
				Way: &event.Way{Tenant: "acme", Pool: "p", Route: "default", Provider: "docomo"}, Phases: [event.PhaseIdle]event.Micros{event.MicrosOf(120 * ms)},
			},
			{
				Number: 2, At: event.HundredthsOf(120 * ms), SendingIP: netip.MustParseAddr("203.0.113.11"), SYNs: 2, Resent: 7, RTT: event.MicrosOf(45 * ms), Stalled: event.MicrosOf(400 * ms),
				Local: netip.MustParseAddrPort("203.0.113.11:40002"), HeloMX: "out11.example.jp", Opened: event.HundredthsOf(4 * time.Second),
			},
		},
		Opening: []event.Opening{
			{Phase: event.PhaseBanner, Leg: 1, Reply: dripped(r, 220, "220 mx.example.net ESMTP", 4*time.Second, 13*time.Second)},
			{Phase: event.PhaseEHLO, Reply: reply(r, 250, "250-mx.example.net hello \x1b[2J\n250 SIZE", ms, ms)},
		},
	}
	return r
}

func jsonOf(mode AddressMode, r *event.Record) []byte {
	f := newFormatter(Options{Identify: true, Addresses: mode, HashKey: testKey})
	f.begin(r)
	return bytes.Clone(f.json(r))
}

// A message is named as others name it where that is asked for, and no more of it than the address mode lets be seen: whole, as one hash, or not at
// all.
func TestWhatIdentifiesAMessage(t *testing.T) {
	for mode, want := range map[AddressMode]string{
		AddressesClear:  `"message_id":"20261130.1\\x1b[2J@acme.example","msa_queue_id":"4jYHGY1Bkqz3Z","msa_received":"`,
		AddressesHashed: `"message_id":"HASH","msa_queue_id":"4jYHGY1Bkqz3Z","msa_received":"`,
		AddressesDomain: `"msa_queue_id":"4jYHGY1Bkqz3Z","msa_received":"`,
	} {
		mac := hmac.New(sha256.New, testKey)
		mac.Write([]byte("20261130.1\x1b[2J@acme.example"))
		want = strings.Replace(want, "HASH", hex.EncodeToString(mac.Sum(nil)[:12]), 1)
		got := string(jsonOf(mode, fullRecord()))
		if !strings.Contains(got, want) || mode != AddressesClear && strings.Contains(got, "20261130") {
			t.Errorf("%s: want %s in %s", mode, want, got)
		}
		f := newFormatter(Options{Addresses: mode, HashKey: testKey})
		r := fullRecord()
		if f.begin(r); bytes.Contains(f.json(r), []byte("4jYHGY1Bkqz3Z")) {
			t.Errorf("%s: a message is identified though nobody asked", mode)
		}
	}
}

// Names that others chose, in certificates and in EHLO, cannot leave the line they are in.
//
// law: B-names
func TestJSONLines(t *testing.T) {
	golden(t, "record.golden", string(jsonOf(AddressesClear, fullRecord())))
	golden(t, "record-domain.golden", string(jsonOf(AddressesDomain, fullRecord())))
}

func TestJSONOfAnEmptyRecord(t *testing.T) {
	r := event.NewRecord()
	r.Transaction, r.End = new(event.Transaction), new(event.End)
	got := jsonOf(AddressesClear, r)
	for line := range bytes.Lines(got) {
		if !json.Valid(line) {
			t.Errorf("not JSON: %s", line)
		}
	}
	r.Transaction, r.End = nil, nil
	if got := jsonOf(AddressesClear, r); len(got) != 0 {
		t.Errorf("a record without an end makes JSON: %s", got)
	}
}

// The schema is stable: the golden record holds every member there is, and the page describes each.
func TestEveryMemberIsDescribed(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "ref", "record.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for line := range bytes.Lines(jsonOf(AddressesClear, fullRecord())) {
		maps.Copy(seen, membersOf(t, line))
	}
	if len(seen) < 50 {
		t.Errorf("only %d members", len(seen))
	}
	for name := range seen {
		if !bytes.Contains(page, []byte("`"+name+"`")) && !strings.HasSuffix(name, "_ms") {
			t.Errorf("docs/ref/record.md does not describe %q", name)
		}
	}
}

// membersOf gives the names of all members of a line.
func membersOf(t *testing.T, line []byte) map[string]bool {
	t.Helper()
	seen := make(map[string]bool)
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, v := range v {
				seen[name] = true
				walk(v)
			}
		case []any:
			for _, v := range v {
				walk(v)
			}
		}
	}
	var v any
	if err := json.Unmarshal(line, &v); err != nil {
		t.Fatal(err)
	}
	walk(v)
	return seen
}

// So is every reason that a session can end for.
func TestEveryEndReasonIsDescribed(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "ref", "record.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range session.EndReasons() {
		if n := bytes.Count(page, []byte("| `"+reason+"` |")); n != 1 {
			t.Errorf("docs/ref/record.md has %d rows for %q", n, reason)
		}
	}
}

func TestEnhancedCode(t *testing.T) {
	for reply, want := range map[string]string{
		"250 2.1.0 Ok": "2.1.0", "550-5.7.1 a\n550 5.7.1 b": "5.7.1", "550 5.7.509": "5.7.509", "421 4.4.1\n": "4.4.1",
		"250 ok": "", "": "", "250": "", "250 ": "", "550 2.1.5 wrong class": "", "250 2.0.0.1w00t": "", "250 2.0.0x": "",
		"354 3.0.0 none here": "", "550 5.7.1234 x": "", "550 5..1 x": "", "550 5.7. x": "",
	} {
		if got := string(enhancedCode([]byte(reply))); got != want {
			t.Errorf("%q: %q, want %q", reply, got, want)
		}
	}
}

// FuzzJSON: whatever strangers send, each line is one JSON object and holds nothing that a terminal would act on.
func FuzzJSON(f *testing.F) {
	f.Add("a@b.example", "550 5.7.1 caf\xe9 \x1b[2J \x00 \r foo", "evil\r\nRCPT TO:<x@y>", byte(0))
	f.Add(`"a\"b"@c`, "250-x\n250 \u202e\u2028\ufeff", "{\"type\":\"session\"}\n{", byte(1))
	f.Add("", "\xf0\x9f\x98\x80\\u0000", strings.Repeat("\xe3", 3000), byte(2))
	f.Fuzz(func(t *testing.T, address, text, name string, mode byte) {
		r := fullRecord()
		r.Session.HeloMSA = name
		r.Session.MX.Certificate = &event.Certificate{Names: []string{name}}
		r.Transaction.Sender = r.Add([]byte(address))
		r.Transaction.Recipients[0].Address = r.Add([]byte(address))
		r.Transaction.Dot = reply(r, 250, text, 1, 1)
		r.End.Cause = text
		r.Actions[0].Why = text
		got := jsonOf(AddressMode(mode%3), r)
		if n := bytes.Count(got, newline); n != 5 || got[len(got)-1] != '\n' {
			t.Fatalf("%d lines, not 5:\n%s", n, got)
		}
		for line := range bytes.Lines(got) {
			var v struct {
				Type  string
				Cause string
			}
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatalf("%v:\n%s", err, line)
			}
			checkSafe(t, strings.ReplaceAll(v.Cause, "\n", ""))
		}
	})
}

func TestSessionLeg(t *testing.T) {
	r := newRecord()
	r.Session.SendingIP = netip.Addr{}
	r.Session.Source = netip.MustParseAddrPort("[2001:db8::1]:40000")
	r.End = &event.End{Reason: "quit"}
	var got map[string]any
	if err := json.Unmarshal(jsonOf(AddressesClear, r), &got); err != nil {
		t.Fatal(err)
	}
	if _, there := got["sending_ip"]; there || got["source"] != "[2001:db8::1]:40000" || got["end_phase"] != "dial" {
		t.Errorf("observe mode: %v", got)
	}
}

// What is ours to say is said, whoever has a mailbox of that name.
func TestOurOwnWordsAreNobodysNames(t *testing.T) {
	r := newRecord()
	r.Tenant = "acme"
	r.Session.Way = &event.Way{Tenant: "other", Pool: "default", Route: "pool of the tenant", Provider: "google"}
	tx := r.OwnTransaction()
	*tx = event.Transaction{Number: 1, Sender: r.Add([]byte("acme@acme.example")), Tenant: r.Add([]byte("acme")), Account: r.Add([]byte("acme@acme.example"))}
	for _, name := range []string{"default", "quit", "recipient", "recipient_invalid", "google", "deferred", "limit"} {
		reply := reply(r, 550, "550 5.1.1 no such user", 0, 0)
		reply.Meaning = tx.Means(event.Meaning{Class: event.RecipientInvalid, Scope: event.ScopeRecipient, Rule: "no such recipient"})
		tx.Recipients = append(tx.Recipients, event.Recipient{Address: r.Add([]byte(name + "@example.net")), Reply: reply})
	}
	r.Transaction = tx
	r.Decisions = []event.Decided{{Note: event.Note{Did: "deferred", Tenant: "acme", Rule: "limit"}}}
	r.End = r.OwnEnd()
	r.End.Reason = "quit"
	for _, mode := range []AddressMode{AddressesClear, AddressesHashed, AddressesDomain} {
		text := string(jsonOf(mode, r))
		for member, times := range map[string]int{
			`"tenant":"acme"`: 3, `"tenant":`: 3, `"pool":"default"`: 2, `"route":"pool of the tenant"`: 2, `"provider":"google"`: 2, `"rule":"limit"`: 1,
			`"class":"recipient_invalid","scope":"recipient","rule":"no such recipient"`: len(tx.Recipients), `"end_reason":"quit"`: 1,
		} {
			if n := strings.Count(text, member); n != times {
				t.Errorf("%v: %s stands there %d times, want %d: %s", mode, member, n, times, text)
			}
		}
		if mode != AddressesClear && strings.Contains(text, "acme@") {
			t.Errorf("%v: %s", mode, text)
		}
	}
}

// A mail whose tenant the gate has not named is not of whom its connection was made for, and a session is of whom it tells.
func TestWhoseARecordIsTheLegDoesNotTell(t *testing.T) {
	r := newRecord()
	r.Session.Way = &event.Way{Tenant: "other", Pool: "default"}
	r.Transaction = &event.Transaction{Number: 2, Sender: r.Add([]byte("x@stranger.example"))}
	r.End = &event.End{Reason: "quit"}
	if text := string(jsonOf(AddressesClear, r)); strings.Contains(text, `"tenant"`) || !strings.Contains(text, `"pool":"default"`) {
		t.Errorf("%s", text)
	}
}

// A session, and each of its connections, says which sending IP it has left from another one in place of.
func TestWhatLeavesInPlaceOfAnotherSaysSo(t *testing.T) {
	r := newRecord()
	slow := netip.MustParseAddr("203.0.113.77")
	r.Session.Way = &event.Way{Pool: "default", Instead: slow}
	r.End = &event.End{Reason: "quit", Legs: []event.Leg{{Number: 1, Way: &event.Way{Pool: "default"}}, {Number: 2, Way: r.Session.Way}}}
	e, err := event.ParseEntry(jsonOf(AddressesClear, r))
	if err != nil || e.InsteadOf != slow || len(e.Legs) != 2 || e.Legs[0].InsteadOf.IsValid() || e.Legs[1].InsteadOf != slow {
		t.Errorf("%+v, %v", e, err)
	}
}

// What refused in the opening has a meaning on record, too.
func TestAnOpeningHasItsMeaning(t *testing.T) {
	r := newRecord()
	r.End = &event.End{Reason: "mx_refused", Opening: []event.Opening{{
		Phase: event.PhaseBanner, Reply: reply(r, 554, "554 5.7.1 listed", 0, 0),
		Meaning: &event.Meaning{Class: event.IPBlocklisted, Scope: event.ScopeIP, Rule: "listed", Lists: []string{"spamhaus-sbl"}},
	}, {Phase: event.PhaseBanner, Reply: reply(r, 220, "220 mx", 0, 0)}}}
	text := string(jsonOf(AddressesClear, r))
	if n := strings.Count(text, `"class":"ip_blocklisted","scope":"ip","rule":"listed","lists":["spamhaus-sbl"]`); n != 1 || strings.Count(text, `"class"`) != 1 {
		t.Errorf("%s", text)
	}
}
