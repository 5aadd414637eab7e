package main

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"kanmon/internal/intercept"
)

const (
	goodRules   = "[intercept]\nsources = ['10.20.0.0/16']\n"
	otherRules  = "[intercept]\nmode = 'tproxy'\nsources = ['10.30.0.0/16']\n"
	brokenRules = "[intercept\nsources = nonsense\n"
)

// A firewall is a host's, in a network namespace that ends with the test's thread.
type firewall struct {
	t      *testing.T
	config string
}

func newFirewall(t *testing.T) *firewall {
	t.Helper()
	runtime.LockOSThread() // and never unlock: the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link: %v: %s", err, out)
	}
	t.Setenv("KANMON_RULES_STATE", filepath.Join(t.TempDir(), "state"))
	return &firewall{t, filepath.Join(t.TempDir(), "kanmon.toml")}
}

func (f *firewall) configure(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.config, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// What is said comes from a command and from the log that it keeps.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// kanmon runs a command line and wants an exit code. It gives all that was said.
func (f *firewall) kanmon(code int, args ...string) string {
	f.t.Helper()
	var out said
	got := run(args, &console{stdin: strings.NewReader(""), stdout: &out, stderr: &out, watch: watchSignals})
	if got != code {
		f.t.Errorf("%s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, out.String())
	}
	return out.String()
}

// has reports which rules the kernel has: of a source network, or ""; and whether there is a policy rule.
func (f *firewall) has() (sources string, policyRule bool) {
	f.t.Helper()
	listed, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		f.t.Fatalf("nft: %v: %s", err, listed)
	}
	rules, err := exec.Command("ip", "rule").CombinedOutput()
	if err != nil {
		f.t.Fatalf("ip rule: %v: %s", err, rules)
	}
	for _, network := range []string{"10.20.0.0/16", "10.30.0.0/16"} {
		if strings.Contains(string(listed), network) {
			sources += network
		}
	}
	return sources, strings.Contains(string(rules), "fwmark")
}

func (f *firewall) mustHave(sources string) {
	f.t.Helper()
	if got, rule := f.has(); got != sources || rule != (sources == "10.30.0.0/16") {
		f.t.Errorf("rules for %q are in force, policy rule %t; want %q", got, rule, sources)
	}
}

func mustSay(t *testing.T, said string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("it does not say %q: %s", text, said)
		}
	}
}

// The emergency exit works with a broken configuration, and says what it has done; so does the way back.
// firstday-2
func TestRulesRemoveNeedsNoConfiguration(t *testing.T) {
	f := newFirewall(t)
	f.configure(otherRules)
	f.kanmon(0, "rules", "apply", "--config", f.config)
	f.mustHave("10.30.0.0/16")
	f.configure(brokenRules)
	mustSay(t, f.kanmon(0, "rules", "remove", "--config", f.config), "mail leaves directly", "kanmon rules apply")
	f.mustHave("")
	f.kanmon(0, "rules", "remove") // again
	f.kanmon(0, "rules", "apply", "--last")
	f.mustHave("10.30.0.0/16")
	f.kanmon(0, "rules", "remove", "--unit", "kanmon-rules.service")
	f.mustHave("")
}

// A removal that cannot be remembered is no success: it says what may undo it, and what opens the way.
func TestRulesRemoveSaysWhereItDoesNotHold(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules)
	f.kanmon(0, "rules", "apply", "--config", f.config)
	t.Setenv("KANMON_RULES_STATE", filepath.Join(f.config, "no-folder"))
	mustSay(t, f.kanmon(1, "rules", "remove"), "the rules are removed, but not kept", "systemctl stop kanmon-rules.service")
	f.mustHave("")
	f.kanmon(0, "rules", "remove", "--unit", "kanmon-rules.service") // a stop is no failure
}

// What cannot be loaded changes nothing, and says what is wrong.
func TestRulesApplyLeavesTheOldWhereTheNewAreWrong(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules)
	f.kanmon(0, "rules", "apply", "--config", f.config)
	f.configure(brokenRules)
	mustSay(t, f.kanmon(1, "rules", "apply", "--config", f.config), "kanmon.toml:1:")
	f.mustHave("10.20.0.0/16")
}

// A service that starts with a broken configuration puts in force what was last, loudly.
// firstday-3
func TestRulesStartWithThoseInForceLast(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules)
	f.kanmon(0, "rules", "apply", "--start", "--config", f.config)
	for _, wrong := range []func(){func() { f.configure(brokenRules) }, func() { os.Remove(f.config) }} {
		if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil { // as a boot leaves it
			t.Fatalf("nft: %v: %s", err, out)
		}
		wrong()
		mustSay(t, f.kanmon(0, "rules", "apply", "--start", "--config", f.config), "IN FORCE LAST", "kanmon.toml", "kanmon rules remove")
		f.mustHave("10.20.0.0/16")
	}
}

// A boot with a damaged memory puts the rules of the configuration in force, and the memory is whole again.
func TestRulesStartWithADamagedMemory(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules)
	f.kanmon(0, "rules", "apply", "--config", f.config)
	memory := filepath.Join(os.Getenv("KANMON_RULES_STATE"), "rules.json")
	if err := os.WriteFile(memory, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustSay(t, f.kanmon(1, "rules", "status"), "damaged", memory, "kanmon rules apply")
	mustSay(t, f.kanmon(1, "rules", "apply", "--last"), "damaged", memory, "in force: kanmon rules apply")
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	f.kanmon(0, "rules", "apply", "--start", "--config", f.config)
	f.mustHave("10.20.0.0/16")
	if said := f.kanmon(1, "rules", "status"); strings.Contains(said, "damaged") {
		t.Errorf("it says: %s", said)
	}
}

// Where nothing was in force before, the service fails and says in a line what to do.
func TestRulesStartFailsWhereNoneWereBefore(t *testing.T) {
	f := newFirewall(t)
	f.configure(brokenRules)
	mustSay(t, f.kanmon(1, "rules", "apply", "--start", "--config", f.config), "kanmon.toml:1:", "none were before", "systemctl restart kanmon-rules")
	f.mustHave("")
	mustSay(t, f.kanmon(1, "rules", "apply", "--last"), "no rules are kept")
	f.kanmon(0, "rules", "remove")
}

// A person's word outlives boots: no start of the service puts back what `rules remove` has taken away. A stop of the service does not.
func TestRulesStartNeverActsAgainstAPerson(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules)
	f.kanmon(0, "rules", "apply", "--config", f.config)
	f.kanmon(0, "rules", "remove")
	for range 2 {
		for _, service := range []string{"--start", "--reload"} {
			mustSay(t, f.kanmon(0, "rules", "apply", service, "--config", f.config), "MAIL LEAVES DIRECTLY", "kanmon rules apply")
			f.mustHave("")
		}
	}
	f.kanmon(0, "rules", "apply", "--config", f.config)
	f.mustHave("10.20.0.0/16")
	f.kanmon(0, "rules", "remove", "--unit", "kanmon-rules.service")
	f.kanmon(0, "rules", "apply", "--start", "--config", f.config)
	f.mustHave("10.20.0.0/16")
}

// formerVersion puts rules in force as a version did that kept nothing.
func (f *firewall) formerVersion() {
	f.t.Helper()
	text := f.kanmon(0, "rules", "print", "--config", f.config)
	load := exec.Command("nft", "-f", "-")
	load.Stdin = strings.NewReader(text)
	if out, err := load.CombinedOutput(); err != nil {
		f.t.Fatalf("nft: %v: %s", err, out)
	}
}

// A person's word is remembered also where no rules are, or none that can be read; a stop of the service does not shorten it.
func TestRulesRemoveIsRememberedWithoutRules(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules)
	for _, kept := range []string{"", "{"} {
		f.formerVersion()
		keeper, _ := intercept.Here()
		if file := filepath.Join(os.Getenv("KANMON_RULES_STATE"), "rules.json"); kept != "" {
			if err := os.WriteFile(file, []byte(kept), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f.kanmon(0, "rules", "remove")
		f.kanmon(0, "rules", "remove", "--unit", "kanmon-rules.service")
		mustSay(t, f.kanmon(0, "rules", "apply", "--start", "--config", f.config), "MAIL LEAVES DIRECTLY")
		f.mustHave("")
		mustSay(t, f.kanmon(1, "rules", "apply", "--last"), "no rules are kept")
		mustSay(t, f.kanmon(1, "rules", "status"), "a person has removed the rules")
		f.kanmon(0, "rules", "apply", "--config", f.config)
		f.mustHave("10.20.0.0/16")
		if removed, err := keeper.Opened(); removed != nil || err != nil {
			t.Errorf("applied, and opened %v, %v", removed, err)
		}
	}
}

// A service that stops where nothing is kept leaves nothing that would start it.
func TestRulesStopWithoutRulesIsNotRemembered(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules)
	f.formerVersion()
	f.kanmon(0, "rules", "remove", "--unit", "kanmon-rules.service")
	f.mustHave("")
	f.kanmon(0, "rules", "apply", "--start", "--config", f.config)
	f.mustHave("10.20.0.0/16")
}

// Rules of a former version are in force, whatever the configuration: nobody is told that mail leaves directly.
func TestRulesStartTellsOfThoseOfAFormerVersion(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules)
	f.formerVersion()
	f.configure(brokenRules)
	said := f.kanmon(1, "rules", "apply", "--start", "--config", f.config)
	mustSay(t, said, "kanmon.toml:1:", "rules are in force that nobody remembers", "systemctl restart kanmon-rules")
	if strings.Contains(said, "leave directly") {
		t.Errorf("it says that mail may leave directly: %s", said)
	}
	f.mustHave("10.20.0.0/16")
}

// A kanmon that manages its rules and cannot start leaves the way closed.
// firstday-3
func TestManagedRulesHoldWhereKanmonCannotStart(t *testing.T) {
	f := newFirewall(t)
	f.configure(goodRules + "manage_rules = true\nlisten = ['192.0.2.1:10025']\n") // which this host does not have
	mustSay(t, f.kanmon(1, "run", "--config", f.config), "not started")
	f.mustHave("")
	keepManaged(t)
	for _, wrong := range []string{goodRules + "manage_rules = true\nlisten = ['192.0.2.1:10025']\n", brokenRules} {
		f.configure(wrong)
		mustSay(t, f.kanmon(1, "run", "--config", f.config), "in force last are in force", "kanmon rules remove")
		f.mustHave("10.20.0.0/16")
		f.kanmon(0, "rules", "remove")
		f.kanmon(1, "run", "--config", f.config)
		f.mustHave("")
		keepManaged(t)
	}
}

// A kanmon that opens the way when it stops, and cannot start again, closes it: the stop counted until the start.
func TestManagedRulesOfAStoppedKanmonHoldWhereItCannotStart(t *testing.T) {
	f := newFirewall(t)
	for _, wrong := range []string{goodRules + "manage_rules = true\nlisten = ['192.0.2.1:10025']\n", brokenRules} {
		keepManaged(t)
		keeper, _ := intercept.Here()
		if err := keeper.Remove(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		f.configure(wrong)
		mustSay(t, f.kanmon(1, "run", "--config", f.config), "in force last are in force")
		f.mustHave("10.20.0.0/16")
	}
}

// keepManaged has rules that a kanmon managed, and that a boot has taken away.
func keepManaged(t *testing.T) {
	t.Helper()
	keeper, _ := intercept.Here()
	rules := intercept.Rules{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:10025")}, Sources: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")},
	}
	if err := keeper.Apply(t.Context(), rules, true); err != nil {
		t.Fatal(err)
	}
	if err := rules.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
}
