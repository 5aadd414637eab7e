package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"kanmon/internal/outlet/classify"
)

// The mention test: an address in a reply is not blame. Our IP is put into every reply in all the ways in which receivers quote the
// client, at three places; and it, or a stranger's, stands in for the listed one.

var (
	ourIP      = netip.MustParseAddr("203.0.113.10")
	strangerIP = netip.MustParseAddr("198.51.100.77")
)

// ways are how replies quote an address, IP standing for it. The first dozen are the usual ones.
var ways = []string{
	"[IP]", "(IP)", "from IP", "(client IP)", "host out10.example.jp[IP]", "client host IP", "IP: IP",
	"https://postmaster.example.net/case?c=a1&i=ip&v=IP", "(id=IP-4Xk2Qz)", "ip=IP", "<out10.example.jp[IP]>:", "from your IP IP",
	"for IP address IP", "H=(mail.acme.example) [IP]", "(sent from IP)", "server IP", "by remote host IP", "connection from [IP]:40123",
	"your IP address is IP", "unknown[IP]", "at IP", "via IP", "remote=[IP]:25", "rip=IP,",
}

const usualWays = 12

// mentions gives a reply with an address in it, in every way and at the beginning, in the middle and at the end of its text.
func mentions(reply string, ip netip.Addr, ways []string, each func(way, text string)) {
	codes := codesOf(reply)
	text := reply[codes:]
	middle := len(text) / 2
	if i := strings.IndexByte(text[middle:], ' '); i >= 0 {
		middle += i
	} else {
		middle = max(strings.LastIndexByte(text, ' '), 0)
	}
	for _, way := range ways {
		said := strings.ReplaceAll(way, "IP IP", "IP "+ip.String())
		if !strings.Contains(said, ip.String()) {
			i := strings.LastIndex(said, "IP")
			said = said[:i] + ip.String() + said[i+2:]
		}
		each(way+" in front", reply[:codes]+said+" "+text)
		each(way+" inside", reply[:codes]+text[:middle]+" "+said+" "+strings.TrimLeft(text[middle:], " "))
		each(way+" behind", reply+" "+said)
	}
}

// codesOf gives the size of the codes that a reply begins with.
func codesOf(reply string) int {
	at := 0
	for range 2 {
		word, _, found := strings.Cut(reply[at:], " ")
		if !found || strings.Trim(word, "0123456789.-") != "" {
			break
		}
		at += len(word) + 1
	}
	return at
}

// mentionTally is what came of the mention test.
type mentionTally struct {
	texts, yes, rescued, changed int
	listed, kept                 int
	strangers, believed          int
	worst                        []string
}

func measureMentions(rules *classify.Rules, records []record, ways []string) *mentionTally {
	t := &mentionTally{}
	for _, r := range records {
		switch r.Suspend {
		case "no":
			t.innocent(rules, &r, ways)
		case "yes":
			t.blocked(rules, &r, ways)
		}
	}
	return t
}

// innocent puts our IP into a reply that says nothing against it.
func (t *mentionTally) innocent(rules *classify.Rules, r *record, ways []string) {
	q := r.query()
	q.SendingIP = ourIP
	before := rules.Classify(q)
	mentions(r.Reply, ourIP, ways, func(way, text string) {
		q.Text = text
		v := rules.Classify(q)
		t.texts++
		if v.Suspend == classify.Yes {
			t.yes++
		}
		// Whatever Only says: whoever acts on a class alone must not be misled either.
		if v.Suspend >= classify.May && (v.Class == classify.IPBlocklisted || v.Class == classify.IPReputation) {
			t.rescued++
			t.note("rescue", r, way, before, v)
		}
		if v.Class != before.Class {
			t.changed++
			t.note("class", r, way, before, v)
		}
	})
}

func (t *mentionTally) note(what string, r *record, way string, before, v classify.Verdict) {
	t.worst = append(t.worst, fmt.Sprintf("%s: %s %s: %s (%s) -> %s %s, rule %q: %.160q", what, r.ID, way, before.Class, before.Rule, v.Class, v.Suspend, v.Rule, r.Reply))
}

// blocked lets a reply that lists an IP name ours, and a stranger's.
func (t *mentionTally) blocked(rules *classify.Rules, r *record, ways []string) {
	q := r.query()
	q.SendingIP = ourIP
	judge := func(text string) classify.Verdict {
		q.Text = text
		return rules.Classify(q)
	}
	ours, stranger := named(rules, r.Reply, ourIP), named(rules, r.Reply, strangerIP)
	count := func(way, text string) {
		t.listed++
		if v := judge(text); v.Suspend == classify.Yes {
			t.kept++
		} else {
			t.note("lost", r, way, judge(ours), v)
		}
	}
	count("named", ours)
	mentions(ours, ourIP, ways, count)
	if stranger != r.Reply {
		t.believe(r, "named", judge(stranger))
	}
	mentions(stranger, strangerIP, ways, func(way, text string) { t.believe(r, way, judge(text)) })
	if stranger != r.Reply { // and ours is mentioned beside it
		mentions(stranger, ourIP, ways, func(way, text string) { t.believe(r, "stranger's listing, "+way, judge(text)) })
	}
}

func (t *mentionTally) believe(r *record, way string, v classify.Verdict) {
	t.strangers++
	if v.Suspend == classify.Yes {
		t.believed++
		t.note("stranger", r, way, v, v)
	}
}

// named replaces every address that a reply quotes.
func named(rules *classify.Rules, reply string, ip netip.Addr) string {
	for _, p := range rules.Classify(classify.Query{Text: reply}).Quoted {
		reply = strings.ReplaceAll(reply, p.Addr().String(), ip.String())
	}
	return reply
}

func (t *mentionTally) print(w io.Writer, shown bool) {
	fmt.Fprintf(w, "our IP in replies that do not blame it: %d texts, %d yes, %d rescues, class kept %.2f %%\n", t.texts, t.yes, t.rescued,
		100*(1-share(t.changed, t.texts)))
	fmt.Fprintf(w, "our IP as the listed one: %d texts, %.2f %% yes; a stranger's: %d texts, %d yes\n", t.listed, 100*share(t.kept, t.listed),
		t.strangers, t.believed)
	if shown {
		for _, line := range t.worst {
			fmt.Fprintln(w, line)
		}
	}
}
