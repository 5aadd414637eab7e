package main

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"kanmon/internal/outlet/classify"
	"kanmon/test/classify/grammar/refusal"
)

// What must be found at least of the refusals that are about our IP, in each language.
const atLeastFound = 0.95

// No refusal of the grammar that must not blame our IP is taken for one that does; of those that are about it, almost all are found,
// whatever the language. KANMON_GRAMMAR=full judges all texts of the grammar, else a sample of each template; both with several seeds.
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
	ip := netip.MustParseAddr(refusal.IP)
	found := map[string]*share{}
	harmless := 0
	for seed := range uint64(5) {
		texts, err := refusal.Generate(seed+1, each)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			v := rules.Classify(queryOf(text, ip))
			ours := v.Suspend != classify.No && (v.Class == classify.IPBlocklisted || v.Class == classify.IPReputation)
			if text.SuspendMax == "no" {
				harmless++
				if ours {
					t.Errorf("seed %d, %s: %q: %s, suspend %s by rule %q", seed+1, text.Template, text.Reply, v.Class, v.Suspend, v.Rule)
				}
				continue
			}
			if text.Class != "ip_blocklisted" && text.Class != "ip_reputation" {
				continue // volume, and greetings that say nothing
			}
			for _, lang := range []string{"all", text.Lang} {
				if found[lang] == nil {
					found[lang] = &share{}
				}
				found[lang].count(ours)
			}
		}
	}
	t.Logf("%d texts are not about our IP; of those that are, found %s", harmless, found["all"])
	if harmless < 5000 || len(found) < 10 {
		t.Errorf("%d texts are not about our IP, %d languages", harmless, len(found)-1)
	}
	for lang, s := range found {
		t.Logf("%s: %s", lang, s)
		if s.of() < atLeastFound {
			t.Errorf("%s: found %s", lang, s)
		}
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
