package dns

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

// What is found, and in which form.
func TestAnswers(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		if a := w.want("Signed.Test.", TypeMX, Found, true); !reflect.DeepEqual(a.MX, []MX{{"mx1.signed.test", 10}, {"mx2.signed.test", 20}}) {
			t.Errorf("MX: %+v", a)
		}
		if a := w.want("null.signed.test", TypeMX, Found, true); !reflect.DeepEqual(a.MX, []MX{{"", 0}}) {
			t.Errorf("null MX: %+v", a)
		}
		if a := w.want("mx1.signed.test", TypeA, Found, true); a.Addrs[0] != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("A: %+v", a)
		}
		if a := w.want("mx1.signed.test", TypeAAAA, Found, true); a.Addrs[0] != netip.MustParseAddr("2001:db8::1") {
			t.Errorf("AAAA: %+v", a)
		}
		if a := w.want("_25._tcp.mx1.signed.test", TypeTLSA, Found, true); a.TLSA[0].Usage != 3 || len(a.TLSA[0].Data) != 32 {
			t.Errorf("TLSA: %+v", a)
		}
		if a := w.want("_mta-sts.signed.test", TypeTXT, Found, true); a.TXT[0] != "v=STSv1; id=1;" {
			t.Errorf("TXT: %+v", a)
		}
		if a := w.want("1.2.0.192.in-addr.arpa", TypePTR, Found, true); a.PTR[0] != "mx1.signed.test" {
			t.Errorf("PTR: %+v", a)
		}
		if a := w.want("alias.signed.test", TypeA, Found, true); a.Name != "mx1.signed.test" || !a.Aliased {
			t.Errorf("alias: %+v", a)
		}
		if a := w.want("unsigned.test", TypeMX, Found, false); a.Unsure || a.Name != "unsigned.test" || a.Aliased {
			t.Errorf("unsigned: %+v", a)
		}
		w.want("signed.test", TypeA, NoData, true)
		w.want("_25._tcp.mx2.signed.test", TypeTLSA, NoName, true)
		w.want("nothing.unsigned.test", TypeMX, NoName, false)
	})
}

// An alias out of a signed zone makes all of the answer insecure, but the alias itself is secure.
//
// tls-C9
func TestAnAliasIntoAnUnsignedZoneIsItselfSecure(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.want("out.signed.test", TypeA, Found, false)
		if a := w.want("out.signed.test", TypeCNAME, Found, true); a.CNAME != "mx1.unsigned.test" || a.Name != "out.signed.test" {
			t.Errorf("%+v", a)
		}
		w.want("mx1.signed.test", TypeCNAME, NoData, true)
		w.want("nothing.signed.test", TypeCNAME, NoName, true)
	})
}

// Whatever is no answer is a failure, says why, and is never an absence.
//
// tls-S33
func TestFailuresAreNoAbsence(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		for name, want := range map[string]string{
			"broken.test": "answers SERVFAIL", "refused.test": "answers REFUSED", "notimp.test": "answers NOTIMP",
			"bogus.signed.test": "answers SERVFAIL (DNSSEC Bogus)", "dead.test": "no answer in time", "cut.test": "no answer in time",
		} {
			for range 2 { // and as it is known
				began := time.Now()
				a := w.want(name, TypeTLSA, Failed, false)
				says(t, a.Err, want)
				if a.Bogus != (name == "bogus.signed.test") {
					t.Errorf("%s: bogus %t", name, a.Bogus)
				}
				if took := time.Since(began); took > 8*time.Second {
					t.Errorf("%s: a failure after %s", name, took)
				}
			}
		}
		if asked := w.zone().Asked("broken.test."); asked != 1 {
			t.Errorf("asked %d times, want once", asked)
		}
	})
}

// What is no name is not asked for.
func TestWhatIsNoNameFails(t *testing.T) {
	label := "123456789.123456789.123456789.123456789.123456789.123456789."
	long := label + label + label + label // 240
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		for _, name := range []string{
			"", ".", "..", "a..b", ".a", "a..", "a b", "a\x00b", "日本", "a\\b", "a;b", `a"b`, "a@b", "a(b", "a'b",
			"x" + string(make([]byte, 63)), long + "12345678901234", "a.1234567890123456789012345678901234567890123456789012345678901234",
		} {
			if a := w.ask(name, TypeMX); a.Outcome != Failed || !errors.Is(a.Err, ErrName) {
				t.Errorf("%q: %+v", name, a)
			}
			if a, known := w.Known(name, TypeMX); !known || !errors.Is(a.Err, ErrName) {
				t.Errorf("%q is known: %+v, %t", name, a, known)
			}
		}
		w.want(long+"1234567890123", TypeMX, NoName, true)
		w.want("a.123456789012345678901234567890123456789012345678901234567890123.", TypeMX, NoName, true)
	})
}

// An answer is kept for its TTL, asked for again behind it, and asked for anew if somebody wants one that is not older than a minute.
//
// tls-C16
func TestAnswersAreKept(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		if _, known := w.Known("signed.test", TypeMX); known {
			t.Error("known before it was asked for")
		}
		ask := func(times int) {
			t.Helper()
			w.want("signed.test", TypeMX, Found, true)
			if asked := w.zone().Asked("signed.test. MX"); asked != times {
				t.Errorf("asked %d times, want %d", asked, times)
			}
		}
		ask(1)
		first, known := w.Known("SIGNED.test.", TypeMX)
		if !known || first.Outcome != Found || time.Until(first.Until) != minute {
			t.Errorf("known: %+v, %t", first, known)
		}
		time.Sleep(59 * time.Second)
		ask(1)
		w.Renew(t.Context(), "signed.test", TypeMX, "tenant")
		ask(1)
		time.Sleep(2 * time.Second)
		if _, known := w.Known("signed.test", TypeMX); known {
			t.Error("known behind its TTL")
		}
		ask(2)
		if n := w.Counts()[Count{Kind: TypeMX, Outcome: Found}]; n != 2 {
			t.Errorf("%d answers counted", n)
		}
	})
}

// Renew asks again for what is kept for longer than a minute. If that fails, what is kept is not lost, and nobody asks again for a while.
func TestRenew(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Handle("signed.test.", reply(func(m *message) { m.rr("signed.test. 600 IN MX 10 mx1.signed.test.") }))
		w.ask("signed.test", TypeMX)
		time.Sleep(2 * minute)
		w.ask("signed.test", TypeMX)
		w.Renew(t.Context(), "signed.test", TypeMX, "tenant")
		w.Renew(t.Context(), "signed.test", TypeMX, "tenant")
		w.zone().Handle("signed.test.", reply(func(m *message) { m.Rcode = miekg.RcodeServerFailure }))
		time.Sleep(2 * minute)
		for range 3 {
			if a := w.Renew(t.Context(), "signed.test", TypeMX, "tenant"); a.Outcome != Found {
				t.Errorf("%+v", a)
			}
		}
		w.want("signed.test", TypeMX, Found, false)
		if asked := w.zone().Asked("signed.test."); asked != 3 {
			t.Errorf("asked %d times, want 3", asked)
		}
	})
}

// A TTL counts between 30 seconds and an hour, that of the whole chain, and an absence as long as the SOA says.
func TestTTL(t *testing.T) {
	for want, records := range map[time.Duration][]string{
		30 * time.Second:  {"a.test. 0 IN A 192.0.2.1"},
		31 * time.Second:  {"a.test. 31 IN A 192.0.2.1", "a.test. 900 IN A 192.0.2.2"},
		time.Hour:         {"a.test. 86400 IN A 192.0.2.1"},
		100 * time.Second: {"a.test. 100 IN CNAME b.test.", "b.test. 3000 IN A 192.0.2.1"},
		200 * time.Second: {"a.test. 300 IN CNAME b.test.", "b.test. 200 IN A 192.0.2.1"},
	} {
		inWorld(t, Settings{}, func(t *testing.T, w *world) {
			w.zone().Handle("a.test.", reply(func(m *message) {
				for _, r := range records {
					m.rr(r)
				}
			}))
			if a := w.ask("a.test", TypeA); time.Until(a.Until) != want {
				t.Errorf("%q: %s, want %s", records, time.Until(a.Until), want)
			}
		})
	}
	for want, soa := range map[time.Duration]string{
		40 * time.Second: "test. 40 IN SOA a. b. 1 1 1 1 3600", 50 * time.Second: "test. 3600 IN SOA a. b. 1 1 1 1 50",
		time.Hour: "test. 7200 IN SOA a. b. 1 1 1 1 7200", 30 * time.Second: "test. 4294967295 IN SOA a. b. 1 1 1 1 50",
	} {
		inWorld(t, Settings{}, func(t *testing.T, w *world) {
			w.zone().Handle("a.test.", reply(func(m *message) { m.authority(soa) }))
			if a := w.want("a.test", TypeA, NoData, false); time.Until(a.Until) != want {
				t.Errorf("%s: %s, want %s", soa, time.Until(a.Until), want)
			}
		})
	}
}

// A failure is kept for 30 seconds, then for twice as long, up to five minutes; one answer ends that.
func TestFailuresAreKeptForLongerAndLonger(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		for _, want := range []time.Duration{30 * time.Second, minute, 2 * minute, 4 * minute, 5 * minute, 5 * minute} {
			a := w.want("broken.test", TypeMX, Failed, false)
			if got := time.Until(a.Until); got != want {
				t.Errorf("kept for %s, want %s", got, want)
			}
			time.Sleep(time.Until(a.Until))
		}
		w.zone().Set(t, ". SIGNED\nbroken.test. MX 10 mx.broken.test.")
		w.want("broken.test", TypeMX, Found, true)
		w.zone().Set(t, zone)
		time.Sleep(minute)
		if a := w.want("broken.test", TypeMX, Failed, false); time.Until(a.Until) != 30*time.Second {
			t.Errorf("kept for %s after an answer", time.Until(a.Until))
		}
	})
}
