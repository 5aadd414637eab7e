package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/view/viewtest"
)

// The twelve journeys of operators, as far as they are those of history: each begins at the page, and the right answers are the ledger's.
func TestJourneys(t *testing.T) {
	s := serveStories(t)
	for name, walk := range map[string]func(*testing.T, *storied, *walker){
		"our mail to docomo is late":            lateMail,
		"a customer says that it bounced":       bounced,
		"it never arrived and did not bounce":   neverArrived,
		"google defers everybody":               defersEverybody,
		"they got it twice":                     gotItTwice,
		"may we enforce what we have observed?": mayEnforce,
		"an IP is listed":                       listed,
		"an upgrade at night":                   upgraded,
		"a new IP beside the old ones":          warming,
	} {
		t.Run(name, func(t *testing.T) { walk(t, s, s.person(t, "act")) })
	}
}

func lateMail(t *testing.T, s *storied, p *walker) {
	of := s.story("slow provider")
	s.kanmon.Set(func(a *viewtest.Answers) {
		a.Status.Problems = []admin.Problem{{ID: "slow", What: "docomo is slow to answer " + of.SendingIP.String(), IP: of.SendingIP, Provider: of.Provider}}
	})
	p.goTo("/")
	p.click(".card a")
	p.within(1)
	p.sees("It is slow: 9 of 10 replies to rcpt come within", "a week before within", "It is slow to "+of.SendingIP.String()+", and not to the other", "docomo is slow to answer "+of.SendingIP.String()+": rcpt takes 41 s")
	for _, tenant := range []string{"acme", "borealis", "cumulus"} {
		p.sees(tenant)
	}
	if n := s.waiting(of.Provider); n > 0 {
		p.sees(fmt.Sprintf("%d mails wait", n))
	}
	p.click(`a[href^="/attempts?ip=` + of.SendingIP.String() + `"]`)
	p.within(1)
	p.sees("sending IP " + of.SendingIP.String())
}

// waiting is how many mails wait for a provider when the stories end.
func (s *storied) waiting(provider string) (n int) {
	for _, m := range s.ledger.Waiting(s.ledger.To) {
		if m.Provider == provider {
			n++
		}
	}
	return n
}

func bounced(t *testing.T, s *storied, p *walker) {
	for _, name := range []string{"fifth try", "fifth try, unnamed"} {
		of := s.story(name)
		p.goTo("/")
		p.acts = 0
		p.click(`nav a[data-key="f"]`)
		p.paste("#term", string(of.Bounce))
		p.click("main form button")
		p.within(3)
		p.sees(of.Mails[0].Recipients[0], "refused for good", of.Text, "5. ", "Whose", "What to do", "For the customer, English", "For the receiver's postmaster, 日本語")
		if of.Mails[0].MessageID == "" {
			p.sees("Probably")
		}
	}
}

func neverArrived(t *testing.T, s *storied, p *walker) {
	for name, sees := range map[string][]string{
		"waits":   {"waiting: 4 attempts", "most MSAs give up after 5 days", "4. "},
		"arrived": {"delivered: the receiver's"},
	} {
		of := s.story(name)
		p.goTo("/find")
		p.acts = 0
		p.paste("#term", of.Mails[0].Recipients[0])
		p.click("main form button")
		p.within(2)
		p.sees(sees...)
		if name == "arrived" {
			attempts := of.Mails[0].Attempts
			p.sees("as " + attempts[len(attempts)-1].MXQueueID)
		}
	}
}

func defersEverybody(t *testing.T, s *storied, p *walker) {
	of := s.story("exhausted")
	at := of.End.Format(time.RFC3339)
	p.goTo("/providers/google?last=6h&at=" + at) // as the notification has it
	p.sees("throttled", of.Text[:40], "tenants are concerned")
	for _, ip := range []string{"203.0.113.10", "203.0.113.11", "203.0.113.12"} {
		p.sees(ip)
	}
	p.click(`a[href^="/timeline?"]`)
	p.within(1)
	p.sees("gw1 read its configuration anew", "rin (uid 1002)", "resume 203.0.113.10 at google", "weights of the pool put back")
}

func gotItTwice(t *testing.T, s *storied, p *walker) {
	of := s.story("twice")
	p.goTo("/find")
	p.paste("#term", of.Mails[0].Recipients[0])
	p.click("main form button")
	p.within(2)
	p.sees("Perhaps delivered twice to "+of.Mails[0].Recipients[0], "ambiguous", "the whole message was sent and no reply came", of.Mails[0].Attempts[1].MXQueueID)
}

func mayEnforce(t *testing.T, s *storied, p *walker) {
	of := s.story("would have")
	sum := 0
	for _, n := range of.Numbers {
		sum += n
	}
	p.goTo("/would?from=" + of.Begin.Format(time.RFC3339) + "&to=" + of.End.Format(time.RFC3339))
	p.sees("limit observed: would_defer", fmt.Sprintf("%d times, of %d accounts of 2 tenants", sum, len(of.Numbers)))
	for account, n := range of.Numbers {
		p.sees(fmt.Sprintf("%s %d ", account, n))
	}
}

func listed(t *testing.T, s *storied, p *walker) {
	of := s.story("listed")
	p.goTo("/refusals?from=" + of.Begin.Format(time.RFC3339) + "&to=" + of.End.Format(time.RFC3339))
	p.sees("ip_blocklisted", "zen.spamhaus.org")
	p.click(`a[href^="/attempts?class=ip_blocklisted"]`)
	p.within(1)
	p.sees("promo@borealis.example")
}

func warming(_ *testing.T, s *storied, p *walker) {
	of := s.story("warming")
	p.goTo("/ips/" + of.SendingIP.String() + "/history?from=" + of.Begin.Format(time.RFC3339) + "&to=" + of.End.Format(time.RFC3339))
	p.sees("step 1 of 10 begins", "Others: attempts", "google", "docomo")
	for day := 4; day < 14; day++ {
		if n := of.Numbers[fmt.Sprintf("day %d", day)]; n > 0 {
			first := s.ledger.From.AddDate(0, 0, day)
			p.sees(fmt.Sprintf("%s %d ", first.Format(time.DateOnly), n+n/16)) // every sixteenth comes again
		}
	}
}

func upgraded(t *testing.T, s *storied, p *walker) {
	of := s.story("restart")
	p.goTo("/timeline?from=" + of.Begin.Add(-time.Hour).Format(time.RFC3339) + "&to=" + of.End.Add(time.Hour).Format(time.RFC3339))
	p.sees("gw1 takes no new sessions", "gw1 stopped", "gw1 started", "Not all is on record")
}

// What a stranger wrote is read on the page as it was written into the record: nothing of it is markup, and nothing turns the page's text around.
func TestWhatStrangersWriteIsReadAsItIs(t *testing.T) {
	s := serveStories(t)
	of := s.story("hostile")
	p := s.person(t, "act")
	time := "from=" + of.Begin.Format("2006-01-02T15:04:05Z") + "&to=" + of.End.Format("2006-01-02T15:04:05Z")
	for _, path := range []string{"/attempts?tenant=granite&" + time, "/refusals?tenant=granite&" + time, "/timeline?" + time, "/tenants/granite/history?" + time} {
		p.goTo(path)
		found := ask[struct {
			Scripts, Images int
			Replies         []string
			Loose           []string
		}](p.window, `({
			Scripts: document.querySelectorAll("script:not([src='/static/page.js'])").length, Images: document.querySelectorAll("img, iframe, object, main style").length,
			Replies: [...document.querySelectorAll("bdi.reply")].map((e) => e.textContent),
			Loose: [...document.querySelectorAll("main *")].filter((e) => [...e.childNodes].some((c) => c.nodeType === 3 && /alert\(1\)|hidden|HYPERLINK/.test(c.data)) &&
				!e.closest("bdi") && !e.closest("svg") && !e.matches("option")).map((e) => e.outerHTML),
		})`)
		if found.Scripts+found.Images > 0 {
			t.Errorf("%s: a stranger's text has made %d scripts and %d other elements", path, found.Scripts, found.Images)
		}
		for _, loose := range found.Loose {
			t.Errorf("%s: %s is not isolated", path, loose)
		}
		if !strings.HasPrefix(path, "/attempts") {
			continue
		}
		read := strings.Join(found.Replies, "\n")
		for _, m := range of.Mails {
			for _, a := range m.Attempts {
				got, _, err := s.store.Attempt(t.Context(), a.Key)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(read, got.Reply.Text) {
					t.Errorf("%q is not read as it stands in the record", got.Reply.Text)
				}
			}
		}
	}
	p.goTo("/") // whatever the last page made the browser complain of is told here
}
