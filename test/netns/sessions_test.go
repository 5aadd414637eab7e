package netns

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// A real MSA's mail that an MX does not answer is seen within a second: for whom it waits, with what, since when, from where and of whom. The
// same words find it, and others do not; a trace hears of it, and when the MX answers it is gone.
func TestHeldSessionIsSeen(t *testing.T) {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	var asked atomic.Int64 // when RCPT was, in Unix nanoseconds
	answer := make(chan struct{})
	mx := &smtptest.MX{Keywords: []string{}, Reply: func(verb string, _ int) string {
		if verb == "RCPT" {
			asked.Store(time.Now().UnixNano())
			<-answer
		}
		return smtptest.Default
	}}
	meetAll(t, world.MXs[0], func(conn net.Conn) { mx.ServeConn(conn) })
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(forwardedRedirect+sendingIPs+fmt.Sprintf("[[tenant]]\nname = \"acme\"\nsources = [\"%s/32\"]\n[admin]\nsocket = %q\n",
		netlab.MSAAddr(1, false), kanmon.Socket())))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())
	m := note("held", netlab.Domain(1, false))
	_, err := msa.Submit("news@"+msa.Options.Hostname, []string{m.to}, m.content)
	must(t, err)
	eventually(t, "the MX is asked for the recipient", func() bool { return asked.Load() > 0 })

	look := func(arguments ...string) (all admin.Sessions) {
		t.Helper()
		out, err := kanmon.Ask("sessions", append(arguments, "--json")...)
		must(t, err)
		must(t, json.Unmarshal([]byte(out), &all))
		return all
	}
	all := look()
	if len(all.Sessions) != 1 || all.Held != 1 {
		t.Fatalf("seen: %+v", all)
	}
	s := all.Sessions[0]
	since := time.Since(time.Unix(0, asked.Load())).Seconds()
	if s.State != "mx" || s.Step != "rcpt" || s.WaitsFor != admin.WaitsForMX || s.Tenant != "acme" || s.Account != "news@"+msa.Options.Hostname ||
		s.SendingIP != netlab.SendingIPv4 || s.MX.Addr() != netlab.MXAddr(1, false) || s.For < 0 || s.For > since+1 {
		t.Errorf("seen, %.3f s behind the question: %+v", since, s)
	}
	right := []string{"--tenant", "acme", "--ip", netlab.SendingIPv4.String(), "--mx", s.MX.Addr().String(), "--state", "mx", "--session", s.Session, "--account", s.Account}
	if got := look(right...); got.Matching != 1 || got.Running != 1 {
		t.Errorf("asked for by what it is: %+v", got)
	}
	for _, wrong := range [][]string{{"--tenant", "beta"}, {"--ip", "203.0.113.99"}, {"--state", "msa"}, {"--held", "1h"}, {"--provider", "docomo"}} {
		if got := look(wrong...); got.Matching != 0 || got.Running != 1 {
			t.Errorf("asked for by %s: %+v", wrong, got)
		}
	}
	if out, err := kanmon.Ask("sessions"); err != nil || !strings.Contains(out, "MX: rcpt") || !strings.Contains(out, "1 session of at most") {
		t.Errorf("printed, %v:\n%s", err, out)
	}
	if out, err := kanmon.Ask("sessions", "--state", "asleep"); err == nil {
		t.Errorf("--state asleep: %s", out)
	}
	if out, err := kanmon.Ask("top", "--once", "--tenant", "acme"); err != nil || !strings.Contains(out, s.Session) || !strings.Contains(out, "SENDING IPS") {
		t.Errorf("at a glance, %v:\n%s", err, out)
	}
	traced := make(chan string, 1)
	go func() {
		out, err := kanmon.Ask("trace", "--mx", s.MX.Addr().String(), "--session", s.Session, "-n", "2")
		traced <- fmt.Sprint(out, err)
	}()
	eventually(t, "the trace has begun", func() bool { return strings.Contains(kanmon.Log(), "traced by the operator") })
	close(answer)
	if got := <-traced; !strings.Contains(got, s.Session) || strings.Count(got, "\n") != 2 {
		t.Errorf("traced:\n%s", got)
	}
	eventually(t, "it is over", func() bool { return look().Running == 0 || look("--state", "msa").Matching == look().Running })
}
