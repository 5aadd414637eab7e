package intercept

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// damages are what can become of what is remembered.
var damages = map[string]func(t *testing.T, path string){
	"half a file":   func(t *testing.T, path string) { edit(t, path, func(s string) string { return s[:len(s)/2] }) },
	"an empty file": func(t *testing.T, path string) { edit(t, path, func(string) string { return "" }) },
	"not JSON":      func(t *testing.T, path string) { edit(t, path, func(string) string { return "rules" }) },
	"other rules":   func(t *testing.T, path string) { edit(t, path, func(string) string { return "{}" }) },
	"a newer version": func(t *testing.T, path string) {
		edit(t, path, func(s string) string { return strings.Replace(s, `"version": 1`, `"version": 9`, 1) })
	},
	"another's":      func(t *testing.T, path string) { must(t, os.Chown(path, 65534, 65534)) },
	"open to others": func(t *testing.T, path string) { must(t, os.Chmod(path, 0o666)) },
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte(change(string(text))), 0o644))
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// newGuard gives a guard that looks when it is told to, and its log.
func newGuard(k *Keeper) (*Guard, *bytes.Buffer) {
	log := new(bytes.Buffer)
	g := &Guard{Keeper: k, Log: slog.New(slog.NewTextHandler(log, nil)), Report: &Report{Dir: filepath.Join(k.Dir, "run")}}
	g.useKernel()
	return g, log
}

// Whatever becomes of what is remembered, the rules stay guarded; it is told, and written anew by a guard that knows it.
func TestGuardGoesOnWithADamagedMemory(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			ownNamespace(t)
			k := &Keeper{Dir: t.TempDir()}
			must(t, k.Apply(t.Context(), intercepting("10.20.0.0/16"), false))
			g, log := newGuard(k)
			g.look(t.Context())
			damage(t, k.file())
			g.look(t.Context())
			for _, text := range []string{"damaged", k.file(), "kanmon rules apply", "written anew"} {
				if !strings.Contains(log.String(), text) {
					t.Errorf("the log does not say %q: %s", text, log)
				}
			}
			if kept, err := k.Last(); err != nil || !kept.Are(intercepting("10.20.0.0/16")) {
				t.Errorf("kept: %+v, %v", kept, err)
			}
			command(t, "nft", "flush", "ruleset")
			g.look(t.Context())
			mustIntercept(t, "10.20.0.0/16")
		})
	}
}

// A guard that starts when the memory is damaged guards what the kernel has, as often as it is taken away, and tells of it.
func TestGuardKnowsTheRulesFromTheKernel(t *testing.T) {
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			ownNamespace(t)
			command(t, "ip", "link", "set", "lo", "up")
			k := &Keeper{Dir: t.TempDir()}
			rules := goldenRules[mode]
			must(t, k.Apply(t.Context(), rules, false))
			damages["half a file"](t, k.file())
			g, log := newGuard(k)
			g.look(t.Context())
			before := ruleset(t)
			for range 3 {
				command(t, "nft", "flush", "ruleset")
				if mode == "tproxy" {
					command(t, "ip", "-4", "rule", "delete", "priority", "250")
				}
				g.look(t.Context())
				if now := ruleset(t); now != before {
					t.Fatalf("it was\n%s\nand is\n%s\n%s", before, now, log)
				}
				if losses, err := rules.routeLosses(); err != nil || len(losses) > 0 {
					t.Errorf("%v, %v", losses, err)
				}
			}
			if n := strings.Count(log.String(), "they are guarded as they are in force"); n != 1 {
				t.Errorf("told %d times: %s", n, log)
			}
			told, err := g.Report.Read()
			if err != nil || !strings.Contains(told.String(), "damaged") {
				t.Errorf("reported %q, %v", told, err)
			}
			problems := k.Problems(t.Context(), nil, g.Report)
			if len(problems) != 1 || !strings.Contains(problems[0].String(), "damaged") || problems[0].Cure != "kanmon rules apply" {
				t.Errorf("problems: %v", problems)
			}
			must(t, k.Apply(t.Context(), rules, false)) // the cure
			g.look(t.Context())
			if problems := k.Problems(t.Context(), nil, g.Report); len(problems) > 0 {
				t.Errorf("problems behind the cure: %v", problems)
			}
		})
	}
}

func ruleset(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nft", "-s", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

// Where neither the memory nor the kernel has rules, nothing is guarded, and the reason is told.
func TestGuardTellsThatItKnowsNothing(t *testing.T) {
	ownNamespace(t)
	k := &Keeper{Dir: t.TempDir()}
	must(t, k.Apply(t.Context(), intercepting("10.20.0.0/16"), false))
	damages["not JSON"](t, k.file())
	command(t, "nft", "flush", "ruleset")
	g, log := newGuard(k)
	g.look(t.Context())
	told, err := g.Report.Read()
	if err != nil || !strings.Contains(told.String(), "not guarded") || !strings.Contains(log.String(), k.file()) {
		t.Errorf("reported %q, %v; logged %s", told, err, log)
	}
}

// A nft that words its lists otherwise, as after an upgrade, is no change of the rules.
func TestAnotherWordingIsNoChange(t *testing.T) {
	ownNamespace(t)
	k := &Keeper{Dir: t.TempDir()}
	must(t, k.Apply(t.Context(), intercepting("10.20.0.0/16"), false))
	nft, err := find("nft")
	must(t, err)
	newer := t.TempDir()
	must(t, os.WriteFile(filepath.Join(newer, "nft"), []byte("#!/bin/sh\n"+nft+" \"$@\" | sed 's/\\t/  /g'\n"), 0o755))
	t.Setenv("PATH", newer+":"+os.Getenv("PATH"))
	g, log := newGuard(k)
	g.look(t.Context())
	if log.Len() > 0 {
		t.Errorf("it is told of a change: %s", log)
	}
}

// What was kept by a version that looked at the rules otherwise is put in force anew, once, and no alarm is given.
func TestImprintsOfFormerVersionsGiveNoAlarm(t *testing.T) {
	ownNamespace(t)
	k := &Keeper{Dir: t.TempDir()}
	must(t, k.Apply(t.Context(), intercepting("10.20.0.0/16"), false))
	kept, err := k.Last()
	must(t, err)
	kept.Imprint = strings.Repeat("0", 64)
	must(t, k.write(kept))
	g, log := newGuard(k)
	for range 3 {
		g.look(t.Context())
	}
	if n := strings.Count(log.String(), "level=INFO"); n != 1 || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("it says: %s", log)
	}
	mustIntercept(t, "10.20.0.0/16")
}

// Any change of what the rules do is seen; what only counts is none.
func TestImprintIsOfWhatRulesDo(t *testing.T) {
	ownNamespace(t)
	rules := intercepting("10.20.0.0/16")
	must(t, rules.Apply(t.Context()))
	before, err := imprint(rules.table())
	must(t, err)
	for change, differs := range map[string]bool{
		"add rule inet kanmon prerouting tcp dport 26 accept":                       true,
		"insert rule inet kanmon forward accept":                                    true,
		"flush chain inet kanmon forward":                                           true,
		"add chain inet kanmon forward { policy drop; }":                            true,
		"add chain inet kanmon more":                                                true,
		"add table inet kanmon { flags dormant; }":                                  true,
		"add element inet kanmon sources4 { 192.0.2.0/24 }":                         true,
		"delete element inet kanmon sources4 { 10.20.0.0/16 }":                      true,
		"add set inet kanmon more { type ipv4_addr; }":                              true,
		"reset counters table inet kanmon":                                          false,
		"add table inet other { chain in { type filter hook input priority 0; }; }": false,
	} {
		command(t, "nft", change)
		now, err := imprint(rules.table())
		if err != nil || (now != before) != differs {
			t.Errorf("%s: changed %t, want %t; %v", change, now != before, differs, err)
		}
		must(t, rules.Apply(t.Context()))
		if again, err := imprint(rules.table()); err != nil || again != before {
			t.Errorf("%s: the same rules are not the same again: %v", change, err)
		}
	}
}
