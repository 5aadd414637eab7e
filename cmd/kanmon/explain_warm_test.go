package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a new sending IP has today decides where a mail leaves from, and explain says so: by what the running kanmon knows, or by the start date.
func TestExplainSaysWhatWarmUpDecidesToday(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "kanmon.toml")
	config := "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n[[sending_ip]]\naddress = '203.0.113.12'\nehlo = 'b.example.jp'\nwarm_up = { start = " +
		time.Now().UTC().Format(time.DateOnly) + " }\n[pool.default]\nips = ['203.0.113.10', '203.0.113.12']\nsticky = 'sender_domain'\n[admin]\nsocket = '" + socket + "'\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	explain := func(sender, recipient string) string {
		t.Helper()
		var out, wrong strings.Builder
		code := run([]string{"explain", "--no-dns", "--config", file, "--source", "10.20.1.5", "--sender", sender, "--recipient", recipient, "--mx", "192.0.2.25"}, &console{stdout: &out, stderr: &wrong})
		if code != exitOK {
			t.Fatalf("exit %d, %s", code, wrong.String())
		}
		return out.String()
	}
	const (
		isItsOwn = "warm-up    203.0.113.12 warms up: "
		willBe   = "warm-up    203.0.113.12 warms up, and this mail will be its own: "
		moved    = "warm-up    140 of 140 mails today to google: meanwhile this mail leaves from 203.0.113.10"
		itsIP    = "IPv4       203.0.113.12 "
	)
	if got := explain("a@s.example", "x@gmail.com"); strings.Contains(got, "warm-up") && !strings.Contains(got, "(by their start dates: the running kanmon was not heard)") {
		t.Errorf("nobody can be asked:\n%s", got)
	}
	end, err := serveCustomers(socket, newCustomers())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	}()
	var own, later, never int
	for i := range 400 {
		sender := fmt.Sprintf("a@s%d.example", i)
		got := explain(sender, "x@gmail.com")
		switch {
		case strings.Contains(got, isItsOwn):
			own++
			if !strings.Contains(got, "step 4 of 30, 212 of 510 mails today, 1.6 % of its senders (as the running kanmon says)\n") || !strings.Contains(got, moved) || !strings.Contains(got, itsIP) {
				t.Errorf("its own:\n%s", got)
			}
			if got = explain(sender, "x@docomo.ne.jp"); strings.Contains(got, isItsOwn) && strings.Contains(got, "meanwhile") {
				t.Errorf("there is room:\n%s", got)
			}
		case strings.Contains(got, willBe):
			later++
			if strings.Contains(got, itsIP) || !strings.Contains(got, "1.6 % of its senders so far (as the running kanmon says)\n") {
				t.Errorf("its own one day:\n%s", got)
			}
		default:
			never++
			if strings.Contains(got, itsIP) || strings.Contains(got, "warm-up") {
				t.Errorf("another one's:\n%s", got)
			}
		}
	}
	if own < 1 || own > 20 || later < 150 || never < 150 {
		t.Errorf("of 400 senders %d are its own, %d will be, %d are another one's", own, later, never)
	}
}
