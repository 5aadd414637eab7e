package manual

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"kanmon/internal/config"
)

func tables(t *testing.T) []config.Table {
	t.Helper()
	all, err := config.Reference()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A page that lacks a table, or has one twice or one that is none, is refused: nothing is left out silently.
func TestEveryTableStandsOnceInThePage(t *testing.T) {
	all := tables(t)
	var page strings.Builder
	for i := range all {
		page.WriteString("<!-- keys: " + all[i].Heading + " -->\nold\n<!-- /keys -->\n")
	}
	got, err := FillConfiguration(page.String(), all)
	if err != nil || strings.Contains(got, "\nold\n") || !strings.Contains(got, `| <a id="rescue.mode"></a>`+"`mode` |") {
		t.Errorf("%v:\n%.1000s", err, got)
	}
	if again, err := FillConfiguration(got, all); again != got || err != nil {
		t.Errorf("a page that is up to date is changed: %v", err)
	}
	first := "<!-- keys: " + all[0].Heading + " -->\n<!-- /keys -->\n"
	for name, wrong := range map[string]string{
		"lacking": strings.TrimPrefix(got, got[:strings.Index(got, "<!-- keys: [")]),
		"twice":   got + first,
		"unknown": got + "<!-- keys: [colour] -->\n<!-- /keys -->\n",
	} {
		if _, err := FillConfiguration(wrong, all); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A key is described by its path, by its name alone where it stands, and a table by its keys.
func TestKeyIsDescribed(t *testing.T) {
	all := tables(t)
	for name, want := range map[string]string{
		"rescue.mode":        "rescue.mode\n  value    \"on\", \"observe\" or \"off\"\n  default  \"on\"\n  example  mode = \"observe\"\n  reload   takes a change\n",
		"listed_for":         "standing.listed_for\n",
		"hostname":           "  default  this host's name\n",
		"pool.NAME.sticky":   "pool.sticky\n",
		"[[tenant]]":         "[[tenant]]\n  tenant.name\n",
		"intercept.mode":     "refuses a change: restart kanmon",
		"tenant.kind":        "See senders.md",
		"file":               "senders.file\n",
		"[journal].records":  "journal.records\n",
		"sender_limit.count": "sender_limit.count\n",
	} {
		if got, found := DescribeKey(all, name); !found || !strings.Contains(got, want) {
			t.Errorf("%s: %v\n%s\nwant %q", name, found, got, want)
		}
	}
	for _, name := range []string{"", "colour", "rescue.colour"} {
		if got, found := DescribeKey(all, name); found {
			t.Errorf("%q is found:\n%s", name, got)
		}
	}
}

// A grammar has what command lines have.
type grammar struct {
	Config string `help:"A file." short:"c"`
	IP     struct {
		Suspend struct {
			IP       string `arg:"" help:"It."`
			Provider string `help:"Where."`
			Mode     string `enum:"hard,soft" default:"soft" help:"How."`
			JSON     bool   `name:"json" help:"JSON."`
		} `cmd:"" help:"Stop it."`
		Show struct{} `cmd:"" help:"Show it."`
	} `cmd:"" name:"ip" help:"IPs."`
	Secret struct{} `cmd:"" hidden:""`
}

// What is offered is what may stand there: commands, flags, values, and nothing that is hidden.
func TestCompletionOffersWhatMayStandThere(t *testing.T) {
	parser, err := kong.New(&grammar{}, kong.Name("x"))
	if err != nil {
		t.Fatal(err)
	}
	values := func(name string) []Word {
		return map[string][]Word{"ip": {{"203.0.113.10", ""}, {"2001:db8::10", ""}}, "provider": {{"google", ""}, {"docomo", ""}}}[name]
	}
	for line, want := range map[string]string{
		"":                                   "ip",
		"s":                                  "",
		"ip ":                                "suspend show",
		"ip su":                              "suspend",
		"ip suspend ":                        "203.0.113.10 2001:db8::10",
		"ip suspend 2":                       "203.0.113.10 2001:db8::10",
		"ip suspend 2001":                    "2001:db8::10",
		"ip suspend 203.0.113.10 ":           "",
		"ip suspend --provider ":             "google docomo",
		"ip suspend --provider=g":            "--provider=google",
		"ip suspend --provider google 203":   "203.0.113.10",
		"ip suspend --json 203":              "203.0.113.10",
		"ip suspend -c file 203":             "203.0.113.10",
		"ip suspend --mode=":                 "--mode=hard --mode=soft",
		"ip suspend --m":                     "--mode",
		"ip suspend -":                       "--provider --mode --json --help --config",
		"ip suspend -- -":                    "",
		"ip suspend --unknown=x 203":         "203.0.113.10",
		"ip suspend --config ":               "",
		"nonsense ":                          "",
		"ip suspend ip suspend suspend ip x": "",
	} {
		words := strings.Split(line, " ")
		var got []string
		for _, w := range Complete(parser.Model, words, values) {
			got = append(got, w.Text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", line, strings.Join(got, " "), want)
		}
	}
}
