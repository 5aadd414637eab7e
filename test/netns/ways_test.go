package netns

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// TestWays shows what holds in every way that connections come to kanmon: docs/ref/ways.md is its page.
func TestWays(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			r := newWayRig(t, w)
			r.configure(t)
			rules(t, r.kanmon, "apply")
			must(t, r.kanmon.Start())
			t.Run("source", r.testSource)
			r.reload(t)
			t.Run("half-close", r.testHalfClose)
			t.Run("limits", r.testLimits)
			t.Run("block", r.testBlock)
			t.Run("STARTTLS", r.testSTARTTLS)
			t.Run("restart", r.testRestart)
		})
	}
}

// twoMails is a limit that counts the mail of one account.
const twoMails = `
[[sender_limit]]
name    = "two"
per     = "account"
account = "limited@acme.example"
count   = "messages"
limit   = 2
burst   = 2
every   = "1h"
enforce = true
`

// testSource: while observing, the MX is called from where it would be without kanmon. audit-F1
func (r *wayRig) testSource(t *testing.T) {
	r.each(func(v6 bool, m manner) {
		want := netip.MustParseAddr("203.0.113.1") // the kernel's choice, as for a masquerade
		if v6 {
			want = netip.MustParseAddr("2001:db8:71::1")
		}
		if r.local {
			want = r.from(v6)
		}
		stored := r.mustSend(t, v6, m)
		if got := stored.Peer.(*net.TCPAddr).AddrPort().Addr().Unmap(); got != want {
			t.Errorf("%s: the MX was called from %s, want %s", m.name, got, want)
		}
		if stored.Helo != "msa.example.com" {
			t.Errorf("%s: the MX was told %q", m.name, stored.Helo)
		}
	})
}

// testHalfClose: an MSA that has sent all and closes its sending side is told what the MX says, three seconds later.
func (r *wayRig) testHalfClose(t *testing.T) { r.closeHalf(t, 3*time.Second) }

// closeHalf has MSAs send a message each and close their sending side, and MXs that take their time.
func (r *wayRig) closeHalf(t *testing.T, answer time.Duration) {
	t.Helper()
	for i := range r.mxs {
		r.mxs[i].Reply = func(verb string, _ int) string {
			if verb == "." {
				return smtptest.Delay(answer) + smtptest.Default
			}
			return smtptest.Default
		}
	}
	var waiting []*smtptest.MSA
	r.each(func(v6 bool, m manner) {
		msa := r.msa(t, v6, m)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		if m.tls {
			msa.StartTLS(msa.TLS)
			msa.Command("EHLO msa.example.com")
		}
		msa.Pipeline("MAIL FROM:<a@acme.example>", "RCPT TO:<b@mx.example>")
		if reply := msa.Command("DATA"); reply.Code != 354 {
			t.Fatalf("%s: DATA: %s", m.name, reply)
		}
		msa.Send("text", ".")
		must(t, msa.Conn().(interface{ CloseWrite() error }).CloseWrite())
		waiting = append(waiting, msa)
	})
	r.each(func(v6 bool, m manner) {
		if reply, err := waiting[0].Next(); reply.Code != 250 {
			t.Errorf("%s, IPv6 %t: behind the end of data: %s, %v", m.name, v6, reply, err)
		}
		waiting = waiting[1:]
	})
	for i := range r.mxs {
		r.mxs[i].Reply = nil
	}
}

// TestLateAnswerBehindAHalfClose shows an MX that answers when conntrack would long have forgotten an MSA that has closed its sending side.
// It does so after 60 s by itself (120 where a FIN came twice), and here after 45. audit-F12
func TestLateAnswerBehindAHalfClose(t *testing.T) {
	r := newWayRig(t, ways[0])
	r.configure(t, sendingIPs)
	rules(t, r.kanmon, "apply")
	for _, state := range []string{"close_wait", "last_ack", "time_wait"} {
		must(t, r.world.Gateway.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_"+state, "45"))
	}
	must(t, r.kanmon.Start())
	r.closeHalf(t, 55*time.Second)
}

// testLimits: what counts messages holds where kanmon sees them.
func (r *wayRig) testLimits(t *testing.T) {
	for _, m := range manners {
		msa := r.msa(t, false, m)
		var verdicts []string
		for range 3 {
			got := msa.Deliver("limited@acme.example", []string{"b@mx.example"}, []byte("text\r\n"), false)
			verdicts = append(verdicts, got.Verdicts[0].String())
			must(t, got.Err)
		}
		_ = msa.Quit()
		if passes := slices.Equal(verdicts, []string{"accepted", "accepted", "accepted"}); passes != (m.mx == 2) && m.name != "with TLS of the MSA" {
			t.Errorf("%s: %v", m.name, verdicts)
		} else if m.name == "with TLS of the MSA" && slices.Contains(verdicts, "accepted") { // the limit is used up
			t.Errorf("%s: %v", m.name, verdicts)
		}
	}
}

// testBlock: a tenant that a person has blocked sends nothing, and is told so with a 4xx at MAIL; nor does who is no tenant. audit-F6
func (r *wayRig) testBlock(t *testing.T) {
	_, err := r.kanmon.Tenant("block", "acme", "--reason", "test")
	must(t, err)
	r.mustDefer(t)
	_, err = r.kanmon.Tenant("unblock", "acme", "--reason", "test")
	must(t, err)
	r.each(func(v6 bool, m manner) { r.mustSend(t, v6, m) })
	if r.tenant == acmeByWire { // who comes by the wire is always acme
		return
	}
	r.tenant = somebodyElse
	r.reload(t)
	r.mustDefer(t)
	r.tenant = r.way.tenant
	r.reload(t)
}

// mustDefer wants all mail deferred by kanmon at MAIL, and the MXs left alone.
func (r *wayRig) mustDefer(t *testing.T) {
	t.Helper()
	before := r.asked()
	r.each(func(v6 bool, m manner) {
		got, _ := r.send(t, v6, m)
		if reply := got.Replies[0]; got.Err != nil || reply.Code != 451 || !strings.Contains(reply.String(), "kanmon: ") {
			t.Errorf("%s, IPv6 %t: %v %v %v", m.name, v6, got.Verdicts, got.Replies, got.Err)
		}
	})
	if after := r.asked(); after != before {
		t.Errorf("%v commands came to the MXs, %v before the block", after, before)
	}
}

// asked counts the commands that the MXs have seen, but for QUIT, which a session that was over before may still send.
func (r *wayRig) asked() (n [2]int) {
	for i := range r.mxs {
		for _, command := range r.mxs[i].Mailbox.Commands() {
			if command != "QUIT" {
				n[i]++
			}
		}
	}
	return n
}

// testSTARTTLS: kanmon offers TLS in every session that it speaks in: also where the MX does not come into it. audit-F9
func (r *wayRig) testSTARTTLS(t *testing.T) {
	offers := func(when string, mx int) {
		t.Helper()
		for _, family := range families {
			msa := r.msa(t, family.v6, manner{mx: mx})
			msa.Expect(220)
			if reply := msa.Command("EHLO msa.example.com"); !slices.Contains(reply.Lines, "STARTTLS") {
				t.Errorf("%s, %s: %s", when, family.name, reply)
				continue
			}
			msa.StartTLS(&tls.Config{InsecureSkipVerify: true})
			msa.Command("EHLO msa.example.com")
			if reply := msa.Command("QUIT"); reply.Code != 221 {
				t.Errorf("%s, %s: QUIT: %s", when, family.name, reply)
			}
		}
	}
	offers("usually", 1)
	offers("passed through", 2)
	suspend := func(verb string) {
		for _, ip := range []netip.Addr{netlab.SendingIPv4, netlab.SendingIPv6} {
			args := []string{verb, ip.String()}
			if verb == "suspend" {
				args = append(args, "--reason", "test")
			}
			_, err := r.kanmon.IP(args...)
			must(t, err)
		}
	}
	suspend("suspend")
	offers("all sending IPs suspended", 1)
	suspend("resume")
	_, err := r.kanmon.Tenant("block", "acme", "--reason", "test")
	must(t, err)
	offers("blocked", 1)
	offers("blocked, passed through", 2)
	_, err = r.kanmon.Tenant("unblock", "acme", "--reason", "test")
	must(t, err)
	if r.tenant == acmeByWire {
		return
	}
	r.tenant = somebodyElse
	r.reload(t)
	offers("of no tenant", 1)
	offers("of no tenant, passed through", 2)
	r.tenant = r.way.tenant
	r.reload(t)
}

// testRestart: a kanmon that is killed takes its sessions with it, nothing passes while it is down, and the next one serves.
func (r *wayRig) testRestart(t *testing.T) {
	type open struct {
		name string
		conn net.Conn
	}
	var flows []open
	r.each(func(v6 bool, m manner) {
		msa := r.msa(t, v6, m)
		msa.Expect(220)
		flows = append(flows, open{fmt.Sprint(m.name, ", IPv6 ", v6), msa.Conn()})
	})
	r.kanmon.Kill()
	for _, f := range flows {
		must(t, f.conn.SetReadDeadline(time.Now().Add(5*time.Second)))
		if _, err := io.ReadAll(f.conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: behind the kill: %v", f.name, err)
		}
	}
	for _, family := range families {
		for mx := range r.mxs {
			begun := time.Now()
			if conn, err := r.dial(family.v6, mx+1); err == nil {
				_ = conn.Close()
				t.Errorf("%s: with kanmon down MX %d was reached", family.name, mx+1)
			} else if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("%s: with kanmon down the MSA was refused after %v: %v", family.name, took, err)
			}
		}
	}
	must(t, r.kanmon.Start())
	r.each(func(v6 bool, m manner) { r.mustSend(t, v6, m) })
}
