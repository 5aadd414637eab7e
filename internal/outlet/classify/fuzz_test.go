package classify

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var ours = netip.MustParseAddr("203.0.113.10")

// Whatever an MX writes: nothing panics, the verdict is one of the taxonomy, and nothing but a refusal that quotes our IP, its
// network or no address at all says anything against our IP.
func FuzzClassify(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, " ") {
				f.Add(strings.TrimSpace(line))
			}
		}
	}
	f.Add("550 your ip 203.0.113.1" + strings.Repeat("0", 5000))
	f.Add("550 " + strings.Repeat("ip listed ", 10_000))
	f.Add("550 0.0.0.0/0 ::/0 [::] 1::2%eth0 \x02 * ... \xc3 \xc3\xa9 ip listed")
	rules := builtinOf(f)
	f.Fuzz(func(t *testing.T, text string) {
		v := rules.Classify(Query{Text: text, SendingIP: ours})
		if v.Class.String() == "unknown" || v.Scope > ScopeProtocol || v.Suspend > Yes || v.RetryAfter < 0 || v.RetryAfter > maxRetry {
			t.Fatalf("%+v", v)
		}
		if v.Suspend == No {
			return
		}
		if len(text) > 0 && (text[0] == '2' || text[0] == '3') && v.Class == ClassNone {
			t.Fatalf("a positive reply suspends: %+v", v)
		}
		quotesUs := len(v.Quoted) == 0
		for _, p := range v.Quoted {
			near := netip.PrefixFrom(ours, 24).Masked().Contains(p.Addr()) && v.Scope == ScopeNetblock
			quotesUs = quotesUs || p.Contains(ours) || near || p.Addr() == turned(ours)
		}
		if !quotesUs {
			t.Fatalf("suspend %s though it quotes %v: %+v", v.Suspend, v.Quoted, v)
		}
	})
}
