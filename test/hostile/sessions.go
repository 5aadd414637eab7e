package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"kanmon/test/netlab"
)

// Attacks by sessions that carry no mail, or hardly any.

// hold has so many sessions, each of a worker, stay until the attack ends.
func (a *attacker) hold(sessions int, open func() *talk) {
	a.spawn(sessions, func() {
		if t := open(); t != nil {
			<-a.ctx.Done()
			t.close()
		}
	})
}

func (a *attacker) silent() {
	a.hold(3000, func() *talk { return a.open(a.own(), "msa."+a.domain()) })
}

func (a *attacker) idleAtSites() {
	a.hold(300, func() *talk { return a.open(anySite().address, "msa."+a.domain()) })
}

func (a *attacker) fromOneNetwork() {
	a.hold(2000, func() *talk {
		t := a.dial(a.sixOf(), evilAddress6(a.order.Kind))
		if t != nil && (t.read() != 220 || t.ask("EHLO msa."+a.domain()) != 250) {
			t.close()
			return nil
		}
		return t
	})
}

// mostHalfOpen is more than the sessions that kanmon allows, and leaves the byte copier a few descriptors.
const mostHalfOpen = 9600

func (a *attacker) halfOpen() {
	a.hold(mostHalfOpen, func() *talk { return a.dial(a.source(), a.own()) })
}

func (a *attacker) nobody() {
	a.spawn(100, func() {
		silent := netlab.SilentNet.Addr().As4()
		silent[2], silent[3] = byte(rand.IntN(256)), byte(rand.IntN(256))
		if t := a.dial(a.source(), netip.AddrFrom4(silent)); t != nil {
			a.pause(200 * time.Millisecond)
			t.close()
		}
	})
}

func (a *attacker) churn() {
	a.spawn(16, func() {
		if t := a.dial(a.source(), a.own()); t != nil {
			t.reset()
		}
	})
}

func (a *attacker) junk() {
	noise := make([]byte, 8000)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	words := []string{string(noise), "GET / HTTP/1.1\r\nHost: mx\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "PROXY TCP4 1.2.3.4 5.6.7.8 1 25\r\n", strings.Repeat("XYZZY\r\n", 500)}
	a.spawn(16, func() {
		t := a.dial(a.source(), a.own())
		if t == nil {
			return
		}
		defer t.close()
		_, _ = io.WriteString(t.conn, words[rand.IntN(len(words))])
		_ = t.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, _ = io.Copy(io.Discard, io.LimitReader(t.conn, 1<<16))
	})
}

func (a *attacker) rset() {
	a.spawn(16, func() {
		t := a.open(a.own(), "msa."+a.domain())
		if t == nil {
			return
		}
		defer t.close()
		lines := many(100, func(i int) string {
			return []string{fmt.Sprintf("MAIL FROM:<u%d@%s>", a.next(), a.domain()), "RSET"}[i%2]
		})
		for t.ask(lines...) == 250 {
		}
	})
}

func (a *attacker) pipelined() {
	verbs := []string{"NOOP", "RSET", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "EHLO x", "VRFY root", "HELP", "XCLIENT NAME=x", "BDAT 0"}
	a.spawn(8, func() {
		t := a.dial(a.source(), a.own())
		if t == nil {
			return
		}
		defer t.close()
		if !t.say(many(5000, func(int) string { return verbs[rand.IntN(len(verbs))] })...) {
			return
		}
		_ = t.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		_, _ = io.Copy(io.Discard, t.conn)
	})
}

func (a *attacker) unread() {
	a.spawn(200, func() {
		t := a.open(a.own(), "msa."+a.domain())
		if t == nil {
			return
		}
		defer t.close()
		rcpts := many(200, func(i int) string { return fmt.Sprintf("RCPT TO:<r%d@%s>", i, a.domain()) })
		if t.ask("MAIL FROM:<a@"+a.domain()+">") == 250 && t.say(rcpts...) {
			<-a.ctx.Done()
		}
	})
}

func (a *attacker) drip() {
	a.spawn(1000, func() {
		t := a.open(a.own(), "msa."+a.domain())
		if t == nil {
			return
		}
		defer t.close()
		if t.ask("MAIL FROM:<a@"+a.domain()+">", "RCPT TO:<r@"+a.domain()+">", "DATA") != 354 {
			return
		}
		for a.ctx.Err() == nil {
			if _, err := io.WriteString(t.conn, "x"); err != nil {
				return
			}
			a.pause(200 * time.Millisecond)
		}
	})
}

// brokenMSATLS begins handshakes and leaves them. Where STARTTLS is not offered it is asked for all the same.
func (a *attacker) brokenMSATLS() {
	a.spawn(16, func() {
		t := a.open(a.own(), "msa."+a.domain())
		if t == nil {
			return
		}
		defer t.close()
		if t.ask("STARTTLS") == 220 {
			_, _ = io.WriteString(t.conn, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
		}
	})
}
