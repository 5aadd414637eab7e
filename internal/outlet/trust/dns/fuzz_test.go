package dns

import (
	"errors"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

// FuzzAnswer reads any packet as an answer to one question. What it takes for an answer has a beginning and an end.
func FuzzAnswer(f *testing.F) {
	kinds := []Kind{TypeA, TypeAAAA, TypeCNAME, TypeMX, TypePTR, TypeSOA, TypeTLSA, TypeTXT}
	for i, kind := range kinds {
		m := new(miekg.Msg).SetQuestion("a.test.", uint16(kind))
		m.Id, m.Response = 0x1234, true
		for _, text := range []string{
			"a.test. 60 IN CNAME b.test.", "b.test. 60 IN A 192.0.2.1", "b.test. 60 IN AAAA 2001:db8::1", "b.test. 60 IN MX 10 mx.test.",
			"b.test. 60 IN PTR mx.test.", "b.test. 60 IN TLSA 3 1 1 abcd", "b.test. 60 IN TXT \"v=STSv1; \" id=1;", "b.test. 60 IN SOA a. b. 1 1 1 1 1",
		} {
			rr, err := miekg.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		m.SetEdns0(1232, false).IsEdns0().Option = []miekg.EDNS0{&miekg.EDNS0_EDE{InfoCode: 6, ExtraText: "x"}}
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet, uint8(i))
	}
	f.Fuzz(func(t *testing.T, packet []byte, n uint8) {
		q := question{"a.test", kinds[int(n)%len(kinds)]}
		asked := new(miekg.Msg).SetQuestion(q.name+".", uint16(q.kind))
		asked.Id = 0x1234
		wire, err := asked.Pack()
		if err != nil {
			t.Fatal(err)
		}
		m, err := unpack(packet, wire)
		if err != nil {
			if !errors.Is(err, errForeign) && !errors.Is(err, errCut) && !errors.Is(err, errMalformed) {
				t.Errorf("an error of its own: %v", err)
			}
			return
		}
		a := read(m, q)
		a.trim()
		records := len(a.MX) + len(a.Addrs) + len(a.TLSA) + len(a.TXT) + len(a.PTR)
		soa := q.kind == TypeSOA && a.Outcome == Found
		switch ttl := a.Until.Sub(a.Heard); {
		case (a.Outcome == Failed) != (a.Err != nil):
			t.Errorf("%s with error %v", a.Outcome, a.Err)
		case a.Outcome != Failed && (ttl < leastTTL || ttl > mostTTL):
			t.Errorf("kept for %s", ttl)
		case (a.Outcome == Found) != (records > 0 || a.CNAME != "" || a.Truncated || soa):
			t.Errorf("%s: %+v", a.Outcome, a)
		case a.size() > 4*mostOctets || records > mostRecords:
			t.Errorf("%d octets, %d records", a.size(), records)
		case a.Bogus && a.Outcome != Failed, a.Secure && a.Outcome == Failed:
			t.Errorf("%+v", a)
		}
		k := kept{}
		k.note(a)
		if got, known := k.at(time.Now(), false); !known || got.Outcome != a.Outcome {
			t.Errorf("kept as %+v, %t", got, known)
		}
	})
}
