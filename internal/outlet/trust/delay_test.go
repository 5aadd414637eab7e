package trust

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
)

// A farDNS answers each question after a time, by the kind of domain that a name is of.
type farDNS struct {
	each  time.Duration
	mu    sync.Mutex
	known map[string]dns.Answer
}

func (f *farDNS) Ask(ctx context.Context, name string, kind dns.Kind, _ string) dns.Answer {
	f.mu.Lock()
	a, found := f.known[name+kind.String()]
	f.mu.Unlock()
	if found && time.Now().Before(a.Until) {
		return a
	}
	took := f.each
	if a = answerOf(name, kind); a.Outcome == dns.Failed {
		took = 5 * time.Second // as long as a resolver is given
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return dns.Answer{Name: name, Err: ctx.Err()}
	}
	a.Name, a.Heard, a.Until = name, time.Now(), time.Now().Add(usableFor)
	if a.Outcome == dns.Failed {
		a.Err = context.DeadlineExceeded
	}
	f.mu.Lock()
	f.known[name+kind.String()] = a
	f.mu.Unlock()
	return a
}

func (f *farDNS) Renew(ctx context.Context, name string, kind dns.Kind, by string) dns.Answer {
	return f.Ask(ctx, name, kind, by)
}

func (f *farDNS) Known(name string, kind dns.Kind) (dns.Answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, found := f.known[name+kind.String()]
	return a, found && time.Now().Before(a.Until)
}

func (f *farDNS) State() dns.State { return dns.State{Answers: true, Validates: true} }

// answerOf is what the DNS has: of domains in plain. nothing is signed, of those in signed. all is, in mixed. the addresses are not, those in
// own. are their own MXs, those in many. have eight. Of those in dead. nobody answers, of those in half. about TXT records nobody does.
func answerOf(name string, kind dns.Kind) (a dns.Answer) {
	var of string
	for _, zone := range []string{"plain.test", "signed.test", "mixed.test", "own.test", "many.test", "dead.test", "half.test"} {
		if strings.HasSuffix(name, zone) {
			of = zone
		}
	}
	a.Secure = of != "plain.test" && of != "half.test"
	switch {
	case of == "dead.test", of == "half.test" && kind == dns.TypeTXT:
		return dns.Answer{Outcome: dns.Failed}
	case kind == dns.TypeMX && of == "own.test":
		a.Outcome = dns.NoData
	case kind == dns.TypeMX:
		a.Outcome = dns.Found
		for n := range map[bool]int{true: 8, false: 1}[of == "many.test"] {
			a.MX = append(a.MX, dns.MX{Host: fmt.Sprintf("mx%d.%s", n, name)})
		}
	case kind == dns.TypeA:
		a.Outcome, a.Addrs = dns.Found, addrs(at1).Addrs
		a.Secure = a.Secure && of != "mixed.test"
	default:
		a.Outcome = dns.NoName
	}
	return a
}

// Mail to a domain that has answered that it has no policy is never refused, and waits only for the answers: at 20 ms a question for less than
// 100 ms. What is not answered is counted apart, and so is a longer way to the DNS.
func TestMailWithoutAPolicyWaitsForTheAnswersAlone(t *testing.T) {
	kinds := []string{"plain.test", "signed.test", "mixed.test", "own.test", "many.test", "dead.test", "half.test"}
	const mails = 3_500
	for _, each := range []time.Duration{20 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(each.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := &farDNS{each: each, known: map[string]dns.Answer{}}
				keeper, err := sts.New(sts.Options{Resolver: Texts{far}, Roots: public.pool()})
				if err != nil {
					t.Fatal(err)
				}
				trust := New(Config{Enforce: true, DNS: far, DANE: true, STS: keeper, Roots: public.pool()}, NewMemory())
				var longest time.Duration
				answered, refused, late, unanswered := 0, 0, 0, 0
				for n := range mails {
					q := question(at1)
					q.Domain = fmt.Sprintf("d%d.%s", n, kinds[n%len(kinds)])
					begun := time.Now()
					v := wait(trust.Need(q)).Judge(plainText(at1, false, ""))
					took := time.Since(begun)
					if dead := n%len(kinds) >= 5; dead {
						unanswered++
						continue
					}
					answered++
					longest = max(longest, took)
					if !v.Pass || v.Told.Policy != event.TrustNone {
						refused++
					}
					if took > 5*each {
						late++
					}
				}
				t.Logf("%v a question: %d mails to domains that have answered, %d refused, %d waited longer than %v, the longest wait %v; %d mails to others, counted apart",
					each, answered, refused, late, 5*each, longest, unanswered)
				if refused > 0 || late > 0 || answered != mails*5/7 {
					t.Error("mail to a domain without a policy is refused or held")
				}
				trust.Close()
				if err := keeper.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
