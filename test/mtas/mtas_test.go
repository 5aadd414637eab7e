package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestTargetsShareNothing: what a program remembers of one mail must not help or hinder another.
func TestTargetsShareNothing(t *testing.T) {
	names, addresses := map[string]bool{}, map[netip.Addr]bool{}
	all := targets(everyKase)
	for _, target := range all {
		if names[target.domain()] {
			t.Errorf("two targets have the domain %s", target.domain())
		}
		names[target.domain()] = true
		for _, address := range []netip.Addr{target.deadAddr(), target.fineAddr()} {
			if addresses[address] {
				t.Errorf("%s has the address %s, as another target or as its own other one", target.token(), address)
			}
			addresses[address] = true
		}
		if found := tokenPattern.FindStringSubmatch(strings.ReplaceAll(message(target), "\n", "\r\n")); found == nil || found[1] != target.token() {
			t.Errorf("the mail to %s is known as %q", target.token(), found)
		}
	}
	few := targets([]string{"both"})
	if len(few) != 3 || few[0].deadAddr() != all[len(all)-3].deadAddr() {
		t.Errorf("a case alone has other addresses than among all: %v", few)
	}
}

func TestOutcome(t *testing.T) {
	arrived := func(took time.Duration, tried bool) sample { return sample{took: took, copies: 1, tried: tried} }
	refused, both := kase{dead: refuses}, kase{}
	for _, test := range []struct {
		name    string
		samples []sample
		kase    kase
		mode    mode
		want    string
	}{
		{"not submitted", nil, refused, mode{}, "–"},
		{"none arrived", []sample{{tried: true}, {tried: true}}, refused, mode{}, "no"},
		{"median", []sample{arrived(3*time.Second, true), arrived(time.Second, true), arrived(2*time.Second, true)}, refused, mode{}, "2.0, longest 3.0"},
		{"began with the other", []sample{arrived(time.Second, true), arrived(0, false)}, refused, mode{}, "1.0, 1 began with the other"},
		{"never tried", []sample{arrived(time.Second, false)}, refused, mode{}, "not tried, 1 began with the other"},
		{"ends at the gateway", []sample{arrived(time.Second, false)}, refused, mode{fenced: true}, "1.0"},
		{"nothing is dead", []sample{arrived(time.Second, false)}, both, mode{}, "1.0"},
		{"all that tried failed", []sample{{tried: true}, arrived(0, false)}, refused, mode{}, "no, 1 began with the other"},
		{"some", []sample{arrived(time.Second, true), {tried: true}}, refused, mode{}, "1.0 (1 of 2)"},
		{"twice", []sample{{took: time.Second, copies: 2, tried: true}}, refused, mode{}, "1.0 **1 too many**"},
	} {
		if got := outcome(test.samples, test.kase, test.mode).long(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
