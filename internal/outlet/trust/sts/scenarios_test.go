package sts

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/sts/ststest"
	"kanmon/internal/smtp/smtptest"
)

// Scenarios beside those of the standards' texts. docs/dev/tls-scenarios.md numbers them.

// S74: texts that look like policies, and what hosts do with a good one.
func TestS74OddPolicies(t *testing.T) {
	r := newRig(t)
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	for name, c := range map[string]struct {
		host ststest.Host
		good bool
	}{
		"a byte order mark":        {ststest.Host{Text: "\ufeff" + goodText}, false},
		"CR alone":                 {ststest.Host{Text: strings.ReplaceAll(goodText, "\r\n", "\r")}, false},
		"UTF-16":                   {ststest.Host{Text: "v\x00e\x00r\x00s\x00i\x00o\x00n\x00"}, false},
		"a NUL at the end":         {ststest.Host{Text: goodText + "\x00"}, false},
		"nothing":                  {ststest.Host{Text: "\r\n"}, false},
		"a comment":                {ststest.Host{Text: "# policy\r\n" + goodText}, false},
		"a blank before a key":     {ststest.Host{Text: " " + goodText}, false},
		"a blank before the colon": {ststest.Host{Text: strings.Replace(goodText, "mode:", "mode :", 1)}, false},
		"LF and CRLF":              {ststest.Host{Text: strings.Replace(goodText, "\r\n", "\n", 2)}, true},
		"the version last":         {ststest.Host{Text: strings.TrimPrefix(goodText, "version: STSv1\r\n") + "version: STSv1\r\n"}, true},
		"the version twice":        {ststest.Host{Text: goodText + "version: STSv2\r\n"}, true},
		"max_age twice":            {ststest.Host{Text: strings.Replace(goodText, "max_age: 604800", "max_age: 604800\r\nmax_age: 1", 1)}, true},
		"302":                      {ststest.Host{Text: goodText, Status: 302, Header: []string{"Location: https://example.test/"}}, false},
		"307":                      {ststest.Host{Text: goodText, Status: 307, Header: []string{"Location: https://mta-sts.example.test/policy"}}, false},
		"308":                      {ststest.Host{Text: goodText, Status: 308, Header: []string{"Location: https://mta-sts.example.test/policy"}}, false},
		"206":                      {ststest.Host{Text: goodText, Status: 206, Header: []string{"Content-Range: bytes 0-9/10"}}, false},
		"204":                      {ststest.Host{Raw: answer("HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n")}, false},
		"chunks":                   {ststest.Host{Raw: answer(head + "Transfer-Encoding: chunked\r\n\r\n10\r\n" + goodText[:16] + "\r\n" + "49\r\n" + goodText[16:] + "\r\n0\r\n\r\n")}, true},
		"a length twice":           {ststest.Host{Raw: answer(head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + goodText)}, false},
		"no length, to the end":    {ststest.Host{Raw: answer("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + goodText)}, true},
		"identity":                 {ststest.Host{Text: goodText, Header: []string{"Content-Encoding: identity"}}, true},
		"deflate":                  {ststest.Host{Text: goodText, Header: []string{"Content-Encoding: deflate"}}, false},
		"text/plainer":             {ststest.Host{Text: goodText, Type: "text/plainer"}, false},
		"an upgrade":               {ststest.Host{Raw: answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + goodText)}, false},
	} {
		p, why, err := fetchFrom(r, c.host)
		switch {
		case c.good && (err != nil || p.Mode != Enforce || p.MaxAge != 7*day):
			t.Errorf("%s: %+v, %v", name, p, err)
		case !c.good && (p != nil || err == nil || why == event.TrustWhyNot):
			t.Errorf("%s: %+v, %s, %v", name, p, why, err)
		}
	}
}

// fetching has a domain's policy being fetched, and returns what ends that.
func (r *rig) fetching(k *Keeper, domain, text string, begin func()) (end func()) {
	r.Helper()
	gate, before := make(chan struct{}), r.hosts.Gets(domain)
	r.hosts.Set(domain, ststest.Host{Text: text, Wait: gate})
	begin()
	smtptest.WaitUntil(r.T, "it is being fetched", func() bool { return r.hosts.Gets(domain) == before+1 })
	return func() {
		close(gate)
		r.quiet(k)
	}
}

// S75: the record changes while the policy is fetched that it announced. What came is that of the old id, and the next mail has the new one fetched.
func TestS75TheRecordChangesMeanwhile(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.record("example.test", "1")
	end := r.fetching(k, "example.test", goodText, func() { k.Look("example.test", "a") })
	r.record("example.test", "2")
	end()
	f, _ := k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "1", "mx1.example.test", "*.example.net")
	r.publish("example.test", "2", "enforce", day, "new.example.test")
	r.clock.Pass(r.zone.life)
	k.Look("example.test", "a")
	r.quiet(k)
	f, _ = k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "2", "new.example.test")
}

// S76: the record is gone when the policy comes that it announced: the policy counts, and is not fetched again.
func TestS76TheRecordGoesMeanwhile(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.record("example.test", "1")
	end := r.fetching(k, "example.test", goodText, func() { k.Look("example.test", "a") })
	r.zone.remove("example.test")
	end()
	if n := r.daysGoBy(k, "example.test", 6, true); n != 0 {
		t.Errorf("%d fetches", n)
	}
	f, _ := k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "1", "mx1.example.test", "*.example.net")
}

// S77: an owner ends a policy by max_age 0 under another id: the last one does not outlive the fetch, and the host is left alone.
func TestS77MaxAgeZeroEndsAPolicy(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", month, "mx1.example.test")
	r.look(k, "example.test", "a")
	r.publish("example.test", "2", "enforce", 0, "mx1.example.test")
	r.clock.Pass(r.zone.life)
	k.Look("example.test", "a")
	r.quiet(k)
	if f, _ := k.Look("example.test", "a"); f.Policy != nil || !f.Known {
		t.Errorf("%+v", f)
	}
	before := r.hosts.Gets("example.test")
	for range 20 {
		r.clock.Pass(10 * time.Second)
		r.look(k, "example.test", "a")
	}
	if n := r.hosts.Gets("example.test") - before; n != 0 {
		t.Errorf("%d fetches more in 200 s", n)
	}
}

// S78: two records that are there for a moment, as an owner changes the id, end no policy, and do not have it fetched.
func TestS78TwoRecordsForAMoment(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", month, "mx1.example.test")
	r.look(k, "example.test", "a")
	r.zone.set("example.test", Texts{Answered: true, All: []string{"v=STSv1; id=1;", "v=STSv1; id=2;"}})
	r.clock.Pass(r.zone.life)
	k.Look("example.test", "a")
	r.quiet(k)
	f, _ := k.Look("example.test", "a")
	if r.wantPolicy(f, Enforce, "1", "mx1.example.test"); r.hosts.Gets("example.test") != 1 || f.Err == nil {
		t.Errorf("%d fetches, %v", r.hosts.Gets("example.test"), f.Err)
	}
	r.publish("example.test", "2", "testing", month, "mx2.example.test")
	r.clock.Pass(r.zone.life)
	k.Look("example.test", "a")
	r.quiet(k)
	f, _ = k.Look("example.test", "a")
	r.wantPolicy(f, Testing, "2", "mx2.example.test")
}
