package classify

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mention is a way in which receivers quote the client, in whatever they refuse.
var mentions = []string{
	"[203.0.113.10]", "(203.0.113.10)", "from 203.0.113.10", "(client 203.0.113.10)", "host out10.example.jp[203.0.113.10]", "client host 203.0.113.10",
	"IP: 203.0.113.10", "https://postmaster.example.net/case?c=a1&i=ip&v=203.0.113.10", "(id=203.0.113.10-4Xk2Qz)", "ip=203.0.113.10",
	"<out10.example.jp[203.0.113.10]>:", "from your IP 203.0.113.10", "unknown[203.0.113.10]", "your IP address is 203.0.113.10",
	"connection from [203.0.113.10]:40123", "(sent from 203.0.113.10)", "IP地址 203.0.113.10",
}

// Our IP, put into a reply about the message, the sender, the recipient or the receiver, makes it none about our IP.
//
// law: I20
func TestMentionIsNoBlame(t *testing.T) {
	rules, texts, kept := builtinOf(t), 0, 0
	for _, reply := range blameless(t) {
		before := rules.Classify(Query{Text: reply, SendingIP: ours})
		codes := len(reply) - len(strings.TrimLeft(reply, "0123456789.- "))
		words := strings.Fields(reply[codes:])
		for _, mention := range mentions {
			for _, at := range []int{0, len(words) / 2, len(words)} {
				text := strings.Join(append(append(append([]string{strings.TrimSpace(reply[:codes])}, words[:at]...), mention), words[at:]...), " ")
				v := rules.Classify(Query{Text: text, SendingIP: ours})
				texts++
				if v.Class == before.Class {
					kept++
				}
				if v.Suspend == Yes || v.Suspend == May && (v.Class == IPReputation || v.Class == IPBlocklisted) {
					t.Errorf("%q: %s, suspend %s by rule %q; without the mention %s", text, v.Class, v.Suspend, v.Rule, before.Class)
				}
			}
		}
	}
	t.Logf("%d texts, class kept in %.2f %%", texts, 100*float64(kept)/float64(texts))
	if texts < 4000 || float64(kept) < 0.99*float64(texts) {
		t.Errorf("%d of %d texts keep their class", kept, texts)
	}
}

// A listing of our IP stays one with our IP in it once more, and is none with a stranger's in its place.
//
// law: I20
func TestListingIsOfTheAddressNamed(t *testing.T) {
	rules, texts := builtinOf(t), 0
	for _, listing := range []string{
		"554 5.7.1 Service unavailable; Client host [203.0.113.10] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/203.0.113.10",
		"550 203.0.113.10 is listed at bl.spamcop.net", "550 5.7.606 Access denied, banned sending IP [203.0.113.10]", "554 Your IP 203.0.113.10 is on our blacklist",
		"550 10.113.0.203.zen.spamhaus.org answered, mail refused", "550 Die IP-Adresse 203.0.113.10 steht auf einer schwarzen Liste",
	} {
		stranger := strings.NewReplacer("203.0.113.10", "198.51.100.77", "10.113.0.203", "77.100.51.198").Replace(listing)
		if v := rules.Classify(Query{Text: stranger, SendingIP: ours}); v.Suspend != No {
			t.Errorf("%q: suspend %s", stranger, v.Suspend)
		}
		for _, mention := range mentions {
			texts++
			if v := rules.Classify(Query{Text: listing + " " + mention, SendingIP: ours}); v.Suspend != Yes {
				t.Errorf("%q: suspend %s by rule %q", listing+" "+mention, v.Suspend, v.Rule)
			}
			if v := rules.Classify(Query{Text: stranger + " " + mention, SendingIP: ours}); v.Suspend == Yes || v.Only {
				t.Errorf("%q: suspend %s, only %t by rule %q", stranger+" "+mention, v.Suspend, v.Only, v.Rule)
			}
		}
	}
	t.Log(texts, "texts")
}

// blameless gives the replies of testdata that say nothing against an IP.
func blameless(t *testing.T) (replies []string) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		reply := ""
		for lines := bufio.NewScanner(f); lines.Scan(); {
			switch words := strings.Fields(lines.Text()); {
			case !strings.HasPrefix(lines.Text(), " "):
				reply = lines.Text()
			case words[2] == "no" && !strings.HasPrefix(words[0], "ip_") && !strings.ContainsAny(reply, `\`) && len(strings.Fields(reply)) > 2 && !strings.Contains(reply, "203.0.113.") && !strings.Contains(lines.Text(), "phase=banner") &&
				!strings.HasPrefix(reply, "2") && words[0] != "throttled":
				replies = append(replies, reply)
			}
		}
	}
	return replies
}
