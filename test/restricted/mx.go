package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"kanmon/test/netlab"
)

// A server has MX n of a stage serve.
type server func(s *stage, n int) error

// plain is a real Postfix that is in a hurry with everybody.
func plain(s *stage, n int) error { return s.postfix(n, netlab.PostfixOptions{}) }

// sleepy is a real Postfix that lets everybody wait.
func sleepy(restrictions string) server {
	return func(s *stage, n int) error {
		return s.postfix(n, netlab.PostfixOptions{Settings: map[string]string{restrictions: fmt.Sprintf("sleep %.0f", sleeps.Seconds())}})
	}
}

// sleepyFor is a real Postfix that lets the mail of a tenant's senders wait.
func sleepyFor(tenant int) server {
	return func(s *stage, n int) error {
		return s.postfix(n, netlab.PostfixOptions{Settings: map[string]string{
			"smtpd_sender_restrictions": fmt.Sprintf("check_sender_access inline:{ { %s = sleep %.0f } }", senderDomain(tenant), sleeps.Seconds()),
		}})
	}
}

// screened is a real Postfix whose postscreen knows everybody but one IP: it tests that with each connection, and holds its greeting.
func screened(ip netip.Addr) server {
	return func(s *stage, n int) error {
		return s.postfix(n, netlab.PostfixOptions{Screen: true, Settings: map[string]string{
			"postscreen_access_list": fmt.Sprintf("cidr:{ { %s/32 dunno } { 0.0.0.0/0 permit } }", ip),
			"postscreen_greet_wait":  fmt.Sprintf("%.0fs", greetWait.Seconds()),
			"postscreen_greet_ttl":   "1s",
		}})
	}
}

// throttled is a real Postfix with a policy server that lets one IP have a mail in a time.
func throttled(ip netip.Addr) server {
	return func(s *stage, n int) error {
		t := &throttle{ip: ip.String()}
		l, err := s.world.MXs[n-1].Listen("127.0.0.1:10031")
		if err != nil {
			return err
		}
		s.lab.Cleanup(l.Close)
		go t.serve(l)
		return s.postfix(n, netlab.PostfixOptions{Settings: map[string]string{"smtpd_recipient_restrictions": "check_policy_service inet:127.0.0.1:10031"}})
	}
}

// tarpit is our own MX, which answers one IP octet by octet.
func tarpit(ip netip.Addr) server {
	return func(s *stage, n int) error {
		mx := &netlab.SlowMX{Name: netlab.MXName(n), Received: s.received, Tarpit: func(client net.Addr) time.Duration {
			if s.kind.Load() || client.(*net.TCPAddr).AddrPort().Addr().Unmap() != ip {
				return 0
			}
			return octetEvery
		}}
		return mx.Serve(s.world.MXs[n-1])
	}
}

func (s *stage) postfix(n int, o netlab.PostfixOptions) error {
	o.Role, o.Hostname = netlab.MX, netlab.MXName(n)
	mx, err := netlab.NewPostfix(s.world.MXs[n-1], o)
	s.inboxes = append(s.inboxes, mx)
	return err
}

// A throttle answers Postfix's questions about clients (its policy delegation protocol): to one IP when it is its turn.
type throttle struct {
	ip string

	mu   sync.Mutex
	free time.Time // when it is the next mail's turn
}

func (t *throttle) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			lines := bufio.NewScanner(conn)
			client := ""
			for lines.Scan() {
				if name, value, _ := strings.Cut(lines.Text(), "="); name == "client_address" {
					client = value
				}
				if lines.Text() != "" {
					continue
				}
				time.Sleep(t.wait(client, time.Now()))
				if _, err := io.WriteString(conn, "action=DUNNO\n\n"); err != nil {
					return
				}
			}
		}()
	}
}

// wait gives how long a client is to wait. Who would wait for too long waits for that long, and takes nobody's turn.
func (t *throttle) wait(client string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if client != t.ip {
		return 0
	}
	if t.free.Before(now) {
		t.free = now
	}
	wait := t.free.Sub(now)
	if wait > waitsMost {
		return waitsMost
	}
	t.free = t.free.Add(oneIn)
	return wait
}
