package check

import (
	"strings"
	"testing"
)

// Rules that iptables has made, as nft lists them: it names the matches and targets of iptables, and shows nothing of them.
func TestMasqueradeOfIptables(t *testing.T) {
	const (
		comment    = `{"xt":{"type":"match","name":"comment"}}`
		multiport  = `{"xt":{"type":"match","name":"multiport"}}`
		masquerade = `{"xt":{"type":"target","name":"MASQUERADE"}}`
		mark       = `{"xt":{"type":"target","name":"MARK"}}`
		hidden     = `{"xt":null}`
		counter    = `{"counter":{"packets":0,"bytes":0}}`
		toService  = `{"match":{"op":"!=","left":{"&":[{"meta":{"key":"mark"}},16384]},"right":16384}}`
		outside    = `{"match":{"op":"==","left":{"meta":{"key":"oifname"}},"right":"eth0"}}`
		pods       = `{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":{"prefix":{"addr":"172.17.0.0","len":16}}}}`
		notDocker  = `{"match":{"op":"!=","left":{"meta":{"key":"oifname"}},"right":"docker0"}}`
	)
	const ip, other = "ip nat POSTROUTING", "ip nat KUBE-POSTROUTING"
	for name, test := range map[string]struct {
		rules []string // chain, then expressions
		want  string
	}{
		"Docker":             {[]string{ip, notDocker, pods, counter, masquerade}, ""},
		"kube-proxy":         {[]string{ip, comment, counter, `{"jump":{"target":"KUBE-POSTROUTING"}}`, other, toService, counter, `{"return":null}`, other, counter, mark, other, comment, counter, masquerade}, ""},
		"all that leaves":    {[]string{ip, outside, comment, counter, masquerade}, "MASQUERADE"},
		"some ports":         {[]string{ip, multiport, counter, masquerade}, "MASQUERADE, not sure"},
		"a mark":             {[]string{ip, outside, counter, mark}, ""},
		"older nft":          {[]string{ip, outside, counter, hidden}, "a target of iptables that nft does not show, not sure"},
		"older nft, comment": {[]string{ip, outside, hidden, counter, `{"masquerade":null}`}, "masquerade, not sure"},
		"older nft, accept":  {[]string{ip, outside, counter, `{"accept":null}`, ip, counter, hidden}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := parseRuleset([]byte(listing(test.rules)))
			if err != nil {
				t.Fatal(err)
			}
			from := prefixesOf("203.0.113.10/32")[0].Addr()
			got := ""
			if found, sure := all.rewrites(packet{from: from, to: far(from), out: "eth0"}); found != nil {
				if got = found.verb; !sure {
					got += ", not sure"
				}
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// listing writes rules as nft does.
func listing(rules []string) string {
	objects := []string{`{"chain":{"family":"ip","table":"nat","name":"POSTROUTING","type":"nat","hook":"postrouting"}}`}
	for i := 0; i < len(rules); {
		at := strings.Fields(rules[i])
		var expr []string
		for i++; i < len(rules) && strings.HasPrefix(rules[i], "{"); i++ {
			expr = append(expr, rules[i])
		}
		objects = append(objects, `{"rule":{"family":"`+at[0]+`","table":"`+at[1]+`","chain":"`+at[2]+`","expr":[`+strings.Join(expr, ",")+`]}}`)
	}
	return `{"nftables":[` + strings.Join(objects, ",") + `]}`
}

// Whatever stands there: no endless walk, no panic.
func FuzzRuleset(f *testing.F) {
	f.Add(listing([]string{"ip nat POSTROUTING", `{"jump":{"target":"POSTROUTING"}}`, `{"goto":{"target":"POSTROUTING"}}`, `{"masquerade":null}`}))
	f.Add(listing([]string{"ip nat POSTROUTING", `{"match":{"op":"==","left":{"&":[{"meta":{"key":"mark"}},1]},"right":{"range":[1,"x"]}}}`, `{"snat":{"addr":"203.0.113.10"}}`}))
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseRuleset([]byte(text))
		if err != nil {
			return
		}
		for _, p := range prefixesOf("203.0.113.10/32", "2001:db8::10/128") {
			if found, sure := all.rewrites(packet{from: p.Addr(), to: far(p.Addr()), out: "eth0"}); found == nil && sure {
				t.Error("sure of nothing")
			}
			for _, what := range []search{stopping, leading, untracked} {
				if found, sure := all.first(what, packet{from: p.Addr(), to: far(p.Addr()), in: "eth0", port: 25, state: "new"}, func(*nftChain) bool { return true }); found == nil && sure {
					t.Error("sure of nothing")
				}
			}
		}
	})
}
