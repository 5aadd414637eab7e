package refusal_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"kanmon/test/classify/grammar/refusal"
)

func generate(t *testing.T, seed uint64, each int) []refusal.Text {
	t.Helper()
	texts, err := refusal.Generate(seed, each)
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestFiftyThousandDistinctTextsInElevenLanguages(t *testing.T) {
	texts := generate(t, 1, refusal.Each)
	seen, languages := map[string]bool{}, map[string]int{}
	for _, text := range texts {
		seen[text.Reply] = true
		languages[text.Lang]++
	}
	if len(seen) != len(texts) || len(texts) < 50_000 {
		t.Errorf("%d texts, %d of them distinct: want 50,000 and all distinct", len(texts), len(seen))
	}
	if len(languages) != 11 {
		t.Errorf("languages %v, want eleven", languages)
	}
	for lang, n := range languages {
		if n < 4000 || lang != "en" && n > languages["en"]/2 {
			t.Errorf("%d texts of language %s, %d in English", n, lang, languages["en"])
		}
	}
}

func TestEqualSeedsGiveEqualTexts(t *testing.T) {
	if !reflect.DeepEqual(generate(t, 7, 5), generate(t, 7, 5)) {
		t.Error("one seed gave two collections")
	}
	if reflect.DeepEqual(generate(t, 7, 5), generate(t, 8, 5)) {
		t.Error("two seeds gave one collection")
	}
}

// TestEveryReplyIsOne looks at what a client would take for a reply (RFC 5321 section 4.2.1): one code in all lines, "-"
// after all but the last, 512 octets at most.
func TestEveryReplyIsOne(t *testing.T) {
	for _, text := range generate(t, 3, 40) {
		lines := strings.Split(text.Reply, "\n")
		if len(lines) > 5 {
			t.Errorf("%s: %d lines: %q", text.Template, len(lines), text.Reply)
		}
		for i, line := range lines {
			want := line[:3] == lines[0][:3] && (line[3] == '-') == (i < len(lines)-1) && len(line) <= 510
			if !want || line != strings.TrimRight(line, " ") || strings.ContainsAny(line, "{}$¶␠\r\x00") || strings.Contains(line, "  ") {
				t.Errorf("%s: line %d: %q", text.Template, i, text.Reply)
			}
		}
	}
}

// TestLabelsAgree keeps the labels of a template from contradicting each other.
func TestLabelsAgree(t *testing.T) {
	may := []string{"ip_reputation", "throttled", "policy_unspecified"}
	for _, text := range generate(t, 3, 3) {
		ours := text.Whose == "ip" || text.Whose == "netblock"
		switch text.SuspendMax {
		case "yes":
			if text.Class != "ip_blocklisted" || !ours {
				t.Errorf("%s: yes for %s of %s", text.Template, text.Class, text.Whose)
			}
		case "may":
			if !slices.Contains(may, text.Class) || !ours && text.Whose != "throttle" {
				t.Errorf("%s: may for %s of %s", text.Template, text.Class, text.Whose)
			}
			if text.Class == "policy_unspecified" && text.Phase != "greeting" {
				t.Errorf("%s: may for policy after the greeting", text.Template)
			}
		case "no":
			if ours && text.Class != "dns_identity" && text.Class != "throttled" {
				t.Errorf("%s: no for %s of %s", text.Template, text.Class, text.Whose)
			}
		}
	}
}

// TestWhatTheClientSaidIsTold is for the texts that repeat a sender which speaks of a list.
func TestWhatTheClientSaidIsTold(t *testing.T) {
	n := 0
	for _, text := range generate(t, 5, 40) {
		if !strings.HasPrefix(text.Template, "en/echo") {
			continue
		}
		n++
		// A subject is folded with the text around it; an address is not.
		folded := strings.HasPrefix(text.Template, "en/echo-subject")
		if text.SuspendMax != "no" || len(text.Said) == 0 || !folded && !strings.Contains(text.Reply, text.Said[0]) {
			t.Errorf("%s: said %q in %q", text.Template, text.Said, text.Reply)
		}
	}
	if n < 100 {
		t.Errorf("%d echoes, want 100", n)
	}
}

func TestMentionMeansOurAddress(t *testing.T) {
	counts := map[bool]int{}
	for _, text := range generate(t, 1, 40) {
		counts[text.Mention]++
		if !text.Mention && (strings.Contains(text.Reply, refusal.IP) || strings.Contains(text.Reply, "10.113.0.203")) {
			t.Errorf("%s: no mention in %q", text.Template, text.Reply)
		}
	}
	if counts[true] < 5000 || counts[false] < 5000 {
		t.Errorf("mentioned %d times, not mentioned %d times", counts[true], counts[false])
	}
}
