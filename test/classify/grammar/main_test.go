package main

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"kanmon/internal/classify"
	"kanmon/test/classify/grammar/refusal"
)

// What must be found at least of the refusals that are about our IP. The rules know English better than the other languages: of all texts
// 0.95 is the aim, and not reached yet.
const (
	atLeastFound   = 0.80
	atLeastEnglish = 0.95
)

// No refusal of the grammar that must not blame our IP is taken for one that does; of those that are about it, most are found.
// KANMON_GRAMMAR=full judges all texts of the grammar, else a sample of each template.
//
// law: I20
func TestGrammarBlamesNobodyElse(t *testing.T) {
	rules, err := classify.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	each := 12
	if os.Getenv("KANMON_GRAMMAR") == "full" {
		each = refusal.Each
	}
	texts, err := refusal.Generate(1, each)
	if err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr(refusal.IP)
	var all, english share
	harmless := 0
	for _, text := range texts {
		v := rules.Classify(queryOf(text, ip))
		ours := v.Suspend != classify.No && (v.Class == classify.IPBlocklisted || v.Class == classify.IPReputation)
		if text.SuspendMax == "no" {
			harmless++
			if ours {
				t.Errorf("%s: %q: %s, suspend %s by rule %q", text.Template, text.Reply, v.Class, v.Suspend, v.Rule)
			}
			continue
		}
		if text.Class != "ip_blocklisted" && text.Class != "ip_reputation" {
			continue // volume, and greetings that say nothing
		}
		all.count(ours)
		if text.Lang == "en" {
			english.count(ours)
		}
	}
	t.Logf("%d texts are not about our IP; of those that are, found %s, in English %s", harmless, all, english)
	if harmless < 1000 || all.of() < atLeastFound || english.of() < atLeastEnglish {
		t.Errorf("found %s, in English %s of %d texts", all, english, len(texts))
	}
}

func queryOf(text refusal.Text, ip netip.Addr) classify.Query {
	q := classify.Query{Text: text.Reply, Phase: classify.Phase(text.Phase), SendingIP: ip, Said: text.Said}
	if q.Phase == "greeting" {
		q.Phase = "banner"
	}
	return q
}

// A share is how many of some texts were found.
type share struct{ found, texts int }

func (s *share) count(found bool) {
	s.texts++
	if found {
		s.found++
	}
}

func (s share) of() float64 { return float64(s.found) / float64(max(s.texts, 1)) }

func (s share) String() string {
	return fmt.Sprintf("%d of %d (%.1f %%)", s.found, s.texts, 100*s.of())
}
