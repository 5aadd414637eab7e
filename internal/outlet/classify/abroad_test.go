package classify

import (
	"os"
	"strings"
	"testing"
)

// Servers that do not speak English refuse our IP, or what somebody else has done, and say so: testdata/abroad.
//
// law: I20
func TestWhoseItIsInOtherLanguages(t *testing.T) {
	rules := builtinOf(t)
	for file, wanted := range map[string]bool{"ours": true, "others": false} {
		text, err := os.ReadFile("testdata/abroad/" + file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		judged := 0
		for line := range strings.Lines(string(text)) {
			line = strings.ReplaceAll(strings.TrimSpace(line), `\n`, "\n")
			if line == "" || line[0] == '#' {
				continue
			}
			judged++
			v := rules.Classify(Query{Text: line, Phase: "rcpt", SendingIP: ours})
			blamed := v.Suspend != No && (v.Class == IPBlocklisted || v.Class == IPReputation)
			if blamed != wanted {
				t.Errorf("%q: %s, suspend %s by rule %q", line, v.Class, v.Suspend, v.Rule)
			}
		}
		if judged < 50 {
			t.Errorf("%s: %d replies", file, judged)
		}
	}
}
