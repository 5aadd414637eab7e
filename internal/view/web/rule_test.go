package web

import (
	"strings"
	"testing"

	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/history"
)

func TestARuleThatIsPrintedHoldsForItsReply(t *testing.T) {
	for name, r := range map[string]history.Reply{
		"plain":    {Code: 550, Enhanced: "5.7.1", Class: "policy_unspecified", Phase: "rcpt", Text: "550 5.7.1 Message refused by the policy of this site (ref 4jYHGY1)"},
		"lines":    {Code: 451, Class: "throttled", Phase: "dot", Text: "451-4.7.1 Too many messages from your network\n451 4.7.1 Please try again later"},
		"hostile":  {Code: 554, Class: "content_rejected", Phase: "dot", Text: "554 said \"no\" \\ {a|b} * .. <script>\u202e\u0007 rejected because of the content \"\"\""},
		"foreign":  {Code: 550, Class: "recipient_invalid", Phase: "rcpt", Text: "550 5.1.1 ユーザーが見つかりません"},
		"wordless": {Code: 450, Class: "greylisted", Phase: "rcpt", Text: "450 4.2.0"},
		"unjudged": {Code: 421, Phase: "banner", Text: "421 busy now, come back"},
	} {
		provider := "docomo"
		if name == "unjudged" {
			provider = ""
		}
		rule, err := ruleFor(&history.Attempt{Provider: provider, Reply: r})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		rules, err := classify.Parse("own.toml", []byte(rule))
		if err != nil {
			t.Errorf("%s: the rule is not taken: %v\n%s", name, err, rule)
			continue
		}
		v := rules.Classify(classify.Query{Text: r.Text, Phase: classify.Phase(r.Phase), Provider: provider})
		if want := "name      = " + tomlText(v.Rule); !strings.Contains(rule, want) {
			t.Errorf("%s: %q decides, and not\n%s", name, v.Rule, rule)
		}
	}
}

func TestARulesWordsAreThoseThatDoNotChange(t *testing.T) {
	got := phrasesOf("550-5.7.1 Mail from 203.0.113.11 for bob@receiver.example refused.\n550 5.7.1 See https://x.example/?id=77 or ask your postmaster")
	if len(got) == 0 || got[0] != "or ask your postmaster" {
		t.Errorf("the words are %q", got)
	}
	for _, p := range got {
		if strings.ContainsAny(p, "0123456789@/.") {
			t.Errorf("%q changes from mail to mail", p)
		}
	}
}
