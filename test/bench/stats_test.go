package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"kanmon/test/bench/load"
	"kanmon/test/netlab"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{nil, "–"},
		{[]float64{3, 1, 2}, "2.00 (1.00–3.00)"},
		{[]float64{40, 10}, "25.0 (10.0–40.0)"},
		{[]float64{5000.4}, "5000 (5000–5000)"},
	} {
		if got := spreadOf(c.values).String(); got != c.want {
			t.Errorf("spread of %v is %s, want %s", c.values, got, c.want)
		}
	}
}

// TestComparedByRound: a round that was slow for all changes the rates, not the ratio.
func TestComparedByRound(t *testing.T) {
	at := func(messages int) *sample {
		return &sample{Result: load.Result{Counted: messages, Window: time.Second}}
	}
	rounds := []round{{kanmon: at(90), haproxy: at(100)}, {kanmon: at(9), haproxy: at(10)}, {kanmon: at(900), haproxy: at(1000)}}
	if got := compared(rounds, kanmon, haproxy, ratio); got.least != 0.9 || got.most != 0.9 || got.n != 3 {
		t.Errorf("ratio %+v, want 0.9 in 3 rounds", got)
	}
	if got := compared(rounds, kanmon, byteCopy, ratio); got.n != 0 {
		t.Errorf("ratio to a contender that did not take part: %+v", got)
	}
}

func TestOwnProcess(t *testing.T) {
	before, err := netlab.CPUOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
		_ = strings.Repeat("x", 100)
	}
	after, err := netlab.CPUOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after.Minus(before).All(); used <= 0 || used > 10*time.Second {
		t.Errorf("100 ms of work used %v", used)
	}
	if kib, err := netlab.ResidentOf(os.Getpid()); err != nil || kib < 1000 || kib > 1<<22 {
		t.Errorf("resident: %d KiB, %v", kib, err)
	}
	if busy, err := netlab.MachineBusy(); err != nil || busy <= 0 {
		t.Errorf("machine: %v, %v", busy, err)
	}
}

// TestConfigsNameEveryDestination: HAProxy and nginx must forward to the addresses that the MX has.
func TestConfigsNameEveryDestination(t *testing.T) {
	for name, text := range map[string]string{"haproxy.cfg": haproxyConfig, "nginx.conf": nginxConfig} {
		for i, destination := range destinations {
			if !strings.Contains(text, destination.String()+":") {
				t.Errorf("%s does not forward to %v", name, destination)
			}
			first := map[string]int{"haproxy.cfg": haproxyPort, "nginx.conf": nginxPort}[name]
			if port := portEach(first)[destination]; port != first+i {
				t.Errorf("%s: port %d for %v, want %d", name, port, destination, first+i)
			}
		}
	}
}
