package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// attackRole is the process of all MSAs of the attackers.
const attackRole = "attack"

// An order says which kind of attack is on, and through what; none if Kind is below 0.
type order struct {
	Kind int
	Via  byte
}

// A toll is what the attack before an order has done.
type toll struct {
	Sessions, Commands, Refused int64
}

func attack(in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	stop := func() toll { return toll{} }
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		done := stop()
		stop = func() toll { return toll{} }
		if o.Kind >= 0 {
			stop = begin(o)
		}
		if err := answers.Encode(done); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

// begin begins an attack, and gives what ends it.
func begin(o order) (stop func() toll) {
	ctx, cancel := context.WithCancel(context.Background())
	a := &attacker{ctx: ctx, order: o}
	if run := kinds[o.Kind].attack; run != nil {
		run(a)
	}
	return func() toll {
		cancel()
		a.workers.Wait()
		return toll{a.sessions.Load(), a.commands.Load(), a.refused.Load()}
	}
}

// An attacker is a tenant with many MSAs at work.
type attacker struct {
	ctx   context.Context
	order order

	workers                     sync.WaitGroup
	sessions, commands, refused atomic.Int64
	number                      atomic.Int64
}

// spawn has so many workers do something again and again until the attack is over.
func (a *attacker) spawn(workers int, work func()) {
	for range workers {
		a.workers.Go(func() {
			for a.ctx.Err() == nil {
				work()
			}
		})
	}
}

// next gives a number that nobody has had.
func (a *attacker) next() int64 { return a.number.Add(1) }

// pause waits, or less if the attack ends.
func (a *attacker) pause(d time.Duration) {
	select {
	case <-a.ctx.Done():
	case <-time.After(d):
	}
}

func (a *attacker) source() netip.Addr {
	return netip.AddrFrom4([4]byte{10, a.order.Via, byte(100 + a.order.Kind), byte(1 + rand.IntN(250))})
}

// own is one of the attacker's MXs.
func (a *attacker) own() netip.Addr { return evilAddress(a.order.Kind, byte(1+rand.IntN(evilHosts))) }

// domain is one of the attacker's, below which all names are its own.
func (a *attacker) domain() string { return evilDomain(a.order.Kind) }

// dial connects to an MX. The connection is cut when the attack is over. It is nil if that was refused.
func (a *attacker) dial(from, to netip.Addr) *talk {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 3 * time.Second}
	conn, err := d.DialContext(a.ctx, "tcp", netip.AddrPortFrom(to, 25).String())
	if err != nil {
		a.refused.Add(1)
		a.pause(5 * time.Millisecond)
		return nil
	}
	a.sessions.Add(1)
	t := &talk{a: a, conn: conn, in: bufio.NewReader(conn)}
	t.spare = context.AfterFunc(a.ctx, func() { _ = conn.Close() })
	return t
}

// open connects and goes as far as EHLO; nil if it does not get there.
func (a *attacker) open(to netip.Addr, name string) *talk {
	t := a.dial(a.source(), to)
	if t == nil {
		return nil
	}
	if t.read() != 220 || t.ask("EHLO "+name) != 250 {
		a.refused.Add(1)
		t.close()
		a.pause(5 * time.Millisecond)
		return nil
	}
	return t
}

// A talk is a session of an attacker.
type talk struct {
	a     *attacker
	conn  net.Conn
	in    *bufio.Reader
	spare func() bool
}

func (t *talk) close() {
	t.spare()
	_ = t.conn.Close()
}

// reset closes with a RST.
func (t *talk) reset() {
	if tcp, ok := t.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	t.close()
}

// say writes lines in one piece.
func (t *talk) say(lines ...string) bool {
	t.a.commands.Add(int64(len(lines)))
	_, err := io.WriteString(t.conn, strings.Join(lines, "\r\n")+"\r\n")
	return err == nil
}

// read gives the code of the next reply; 0 if there is none.
func (t *talk) read() int {
	for {
		line, err := t.in.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = t.in.ReadSlice('\n')
		}
		if err != nil || len(line) < 4 {
			return 0
		}
		if line[3] == ' ' {
			return int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
		}
	}
}

func (t *talk) ask(lines ...string) (last int) {
	if !t.say(lines...) {
		return 0
	}
	for range lines {
		if last = t.read(); last == 0 || last == 421 {
			return last
		}
	}
	return last
}

// mail sends one, all commands in one write. It gives the last code, 0 if the session is over.
func (t *talk) mail(from string, to []string, body string) int {
	lines := []string{"MAIL FROM:<" + from + ">"}
	for _, one := range to {
		lines = append(lines, "RCPT TO:<"+one+">")
	}
	code := t.ask(append(lines, "DATA")...)
	if code == 354 {
		_, err := io.WriteString(t.conn, body+"\r\n.\r\n")
		if err != nil {
			return 0
		}
		return t.read()
	}
	if code != 0 && code != 421 {
		t.ask("RSET")
	}
	return code
}

// campaign sends mail after mail over sessions of so many.
func (a *attacker) campaign(workers, mails int, to func() netip.Addr, one func() (from string, rcpts []string, body string)) {
	a.spawn(workers, func() {
		t := a.open(to(), "msa."+a.domain())
		if t == nil {
			return
		}
		defer t.close()
		for range mails {
			from, rcpts, body := one()
			if code := t.mail(from, rcpts, body); code == 0 || code == 421 {
				return
			}
		}
	})
}

const shortBody = "Subject: offer\r\n\r\nBuy this."

// many makes addresses from numbers.
func many(n int, address func(i int) string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = address(i)
	}
	return all
}

// anySite is one of the MXs of the world.
func anySite() site { return sites[rand.IntN(len(sites))] }
