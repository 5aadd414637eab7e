package smtptest

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// meet connects an MSA to an MX in a bubble.
func meet(t *testing.T, mx *MX, f func(t *testing.T, msa *MSA, near *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := Pair(msaAddr, mxAddr)
		done := make(chan struct{})
		go func() { defer close(done); mx.ServeConn(far) }()
		f(t, NewMSA(t, near), near)
		_ = near.Close()
		<-done
	})
}

var twoRcpts = []string{"b@example.net", "c@example.net"}

func TestDeliver(t *testing.T) {
	body := []byte("Subject: x\r\n\r\n.\r\n..dots\r\n8-bit \xe9\r\n")
	for _, pipelined := range []bool{false, true} {
		for _, withTLS := range []bool{false, true} {
			mx := &MX{}
			var clientTLS *tls.Config
			if withTLS {
				mx.TLS = &tls.Config{Certificates: []tls.Certificate{Certificate(t, CertificateOptions{})}}
				clientTLS = &tls.Config{RootCAs: Roots(t), ServerName: "mx.example.net"}
			}
			meet(t, mx, func(t *testing.T, msa *MSA, _ *Conn) {
				msa.TLS = clientTLS
				for _, b := range [][]byte{body, nil} {
					if d := msa.Deliver("a@example.com", twoRcpts, b, pipelined); !d.All(Accepted) || d.Err != nil || !d.DotSent {
						t.Errorf("pipelined %v, TLS %v: %+v", pipelined, withTLS, d)
					}
				}
				_ = msa.Quit()
			})
			got := mx.Mailbox.Transactions()
			if len(got) != 2 || string(got[0].Body) != string(body) || got[0].TLS != withTLS || got[0].Sender != "a@example.com" ||
				!slices.Equal(got[0].Recipients, twoRcpts) || got[1].Size != 0 || mx.Mailbox.Count(body) != 1 {
				t.Errorf("pipelined %v, TLS %v: mailbox has %+v", pipelined, withTLS, got)
			}
			if !strings.HasPrefix(string(got[0].Raw), "Subject: x\r\n\r\n..\r\n...dots\r\n") {
				t.Errorf("raw body %q", got[0].Raw)
			}
		}
	}
}

func TestDeliverVerdicts(t *testing.T) {
	refuse := func(verb string, n int, text string) func(string, int) string {
		return func(v string, i int) string {
			if v == verb && (n == 0 || i == n) {
				return text
			}
			return Default
		}
	}
	const no, later, closes = "550 5.1.1 no\r\n", "450 4.2.0 later\r\n", "421 4.3.2 bye\r\n" + CloseConn
	for name, c := range map[string]struct {
		reply func(string, int) string
		want  string // verdicts; ! if the connection is of no more use
		count int
	}{
		"banner":    {refuse("BANNER", 1, "554 no\r\n"), "deferred deferred !", 0},
		"mail 5xx":  {refuse("MAIL", 1, no), "bounced bounced", 0},
		"mail 4xx":  {refuse("MAIL", 1, later), "deferred deferred", 0},
		"one rcpt":  {refuse("RCPT", 1, no), "bounced accepted", 1},
		"all rcpts": {refuse("RCPT", 0, no), "bounced bounced", 0},
		"mixed":     {refuse("RCPT", 2, later), "accepted deferred", 1},
		"data":      {refuse("DATA", 1, no), "bounced bounced", 0},
		"dot 5xx":   {refuse(".", 1, no), "bounced bounced", 0},
		"dot 4xx":   {refuse(".", 1, later), "deferred deferred", 0},
		"dot 421":   {refuse(".", 1, closes), "deferred deferred !", 0},
		"dot lost":  {refuse(".", 1, CloseConn), "deferred deferred !", 0},
		"ack lost":  {refuse(".", 1, Accept+ResetConn), "deferred deferred !", 1},
		"rcpt lost": {refuse("RCPT", 2, CloseConn), "deferred deferred !", 0},
		"rcpt 5xx, lost": {func(v string, n int) string {
			return map[string]string{"RCPT1": no, "RCPT2": CloseConn}[v+fmt.Sprint(n)] + rcptDefault(v)
		}, "bounced deferred !", 0},
		"silence":     {refuse("DATA", 1, ""), "deferred deferred !", 0},
		"malformed":   {refuse("MAIL", 1, "250OK\r\n"), "deferred deferred !", 0},
		"mixed codes": {refuse("EHLO", 1, "250-a\r\n251 b\r\n"), "deferred deferred !", 0},
		"slow":        {refuse(".", 1, Delay(9*time.Minute)+Default), "accepted accepted", 1},
	} {
		for _, pipelined := range []bool{false, true} {
			mx := &MX{Reply: c.reply}
			meet(t, mx, func(t *testing.T, msa *MSA, _ *Conn) {
				d := msa.Deliver("a@example.com", twoRcpts, []byte("x\r\n"), pipelined)
				got := fmt.Sprintf("%v %v", d.Verdicts[0], d.Verdicts[1])
				if d.Err != nil {
					got += " !"
				}
				if got != c.want {
					t.Errorf("%s, pipelined %v: got %s (%v), want %s", name, pipelined, got, d.Err, c.want)
				}
				if d.Err != nil {
					return
				}
				if d := msa.Deliver("a@example.com", twoRcpts[:1], []byte("next\r\n"), pipelined); d.Err != nil || mx.Mailbox.Len() == 0 && c.count > 0 {
					t.Errorf("%s, pipelined %v: the next message: %+v", name, pipelined, d)
				}
			})
			if n := mx.Mailbox.Count([]byte("x\r\n")); n != c.count {
				t.Errorf("%s, pipelined %v: accepted %d times, want %d", name, pipelined, n, c.count)
			}
		}
	}
}

// rcptDefault leaves all verbs but RCPT as they are.
func rcptDefault(verb string) string {
	if verb == "RCPT" {
		return ""
	}
	return Default
}

func TestCutAtEveryOctet(t *testing.T) {
	body := []byte("Subject: cut\r\n\r\n.text\r\n")
	runs, accepted, acked := 0, 0, 0
	for _, pipelined := range []bool{false, true} {
		for _, how := range []Cut{FIN, RST, Stall} {
			for n := range 400 {
				mx := &MX{}
				meet(t, mx, func(t *testing.T, msa *MSA, near *Conn) {
					near.CutWriteAfter(n, how)
					msa.Wait = time.Minute
					d := msa.Deliver("a@example.com", twoRcpts, body, pipelined)
					synctest.Wait()
					if how == Stall {
						near.link.mu.Lock() // the cable is mended, for the MX to end
						near.link.stalled = false
						near.link.mu.Unlock()
					}
					runs++
					accepted += mx.Mailbox.Len()
					if d.All(Accepted) {
						acked++
						if mx.Mailbox.Count(body) != 1 {
							t.Errorf("%v after %d octets: acknowledged, but accepted %d times", how, n, mx.Mailbox.Count(body))
						}
					}
				})
			}
		}
	}
	t.Logf("%d runs, %d accepted, %d acknowledged", runs, accepted, acked)
	if acked == 0 || accepted != acked+6 {
		t.Errorf("want one cut between dot and reply for each of the 6 kinds, got %d", accepted-acked)
	}
}

func TestBodyEnd(t *testing.T) {
	smuggled := "MAIL FROM:<smuggled@example.com>\r\nRCPT TO:<v@example.net>\r\nDATA\r\n2nd\r\n.\r\n"
	for _, form := range SmugglingForms() {
		for lenient, want := range map[bool]int{false: 1, true: 2} {
			mx := &MX{}
			if lenient {
				mx.Lenient = []string{form}
			}
			meet(t, mx, func(t *testing.T, msa *MSA, near *Conn) {
				near.CloseNeverResets()
				_, _ = io.WriteString(near, "EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n1st"+form+smuggled)
				synctest.Wait()
			})
			if got := mx.Mailbox.Len(); got != want {
				t.Errorf("%q, lenient %v: %d messages, want %d", form, lenient, got, want)
			}
		}
	}
}

func TestMXOrder(t *testing.T) {
	mx := &MX{OnlyHashes: true}
	meet(t, mx, func(t *testing.T, msa *MSA, _ *Conn) {
		msa.Expect(220)
		for _, step := range []string{
			"503 RCPT TO:<b@example.net>", "503 DATA", "250 HELO a", "501 MAIL FROM:a@example.com", "250 MAIL FROM:<\"a>\\\"\"@example.com> SIZE=1",
			"503 MAIL FROM:<>", "501 RCPT TO:<>", "503 DATA", "250 RCPT TO:<b@example.net>", "250 RSET", "503 DATA", "503 STARTTLS", "502 XCLIENT x",
			"250 NOOP", "250 MAIL FROM:<>", "250 RCPT TO:<b@example.net>",
		} {
			if reply := msa.Command(step[4:]); fmt.Sprint(reply.Code) != step[:3] {
				t.Errorf("%q got %v", step, reply)
			}
		}
		if reply := msa.Data([]byte("no line end")); reply.Code != 250 || reply.Lines[0] != "2.0.0 Ok: queued as Q1" {
			t.Errorf("dot got %v", reply)
		}
		msa.Send("QUIT")
		msa.Expect(221)
	})
	got := mx.Mailbox.Transactions()
	if len(got) != 1 || got[0].Helo != "a" || got[0].Body != nil || got[0].Size != 13 || len(mx.Mailbox.Commands()) != 18 {
		t.Errorf("mailbox %+v, commands %q", got, mx.Mailbox.Commands())
	}
}

func TestMXServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network Network
		mx := &MX{}
		l, err := network.Listen(mxAddr)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); mx.Serve(l) }()
		for i := range 20 {
			c, err := network.Dial(t.Context(), msaAddr, mxAddr)
			if err != nil {
				t.Fatal(err)
			}
			msa := NewMSA(t, c)
			go func() {
				msa.Deliver(fmt.Sprintf("a%d@example.com", i), twoRcpts, []byte("x\r\n"), i%2 == 0)
				_ = msa.Quit()
			}()
		}
		synctest.Wait()
		_ = l.Close()
		<-done
		if mx.Mailbox.Len() != 20 {
			t.Errorf("%d messages, want 20", mx.Mailbox.Len())
		}
	})
}

func TestStartTLSByHand(t *testing.T) {
	mx := &MX{
		TLS:         &tls.Config{Certificates: []tls.Certificate{Certificate(t, CertificateOptions{RSA: true})}},
		KeywordsTLS: []string{"SIZE 10"},
	}
	meet(t, mx, func(t *testing.T, msa *MSA, _ *Conn) {
		msa.Expect(220)
		if reply := msa.Command("EHLO a"); reply.Lines[len(reply.Lines)-1] != "STARTTLS" {
			t.Errorf("EHLO before TLS: %v", reply)
		}
		msa.StartTLS(&tls.Config{RootCAs: Roots(t), ServerName: "mx.example.net"})
		if reply := msa.Command("EHLO a"); reply.String() != "250 mx.example.net | SIZE 10" {
			t.Errorf("EHLO inside TLS: %v", reply)
		}
		if _, ok := msa.Conn().(*tls.Conn); !ok {
			t.Errorf("the connection is a %T", msa.Conn())
		}
	})
}

func TestStartTLSInjection(t *testing.T) {
	mx := &MX{
		TLS: &tls.Config{Certificates: []tls.Certificate{Certificate(t, CertificateOptions{})}},
		Reply: func(verb string, _ int) string {
			if verb == "STARTTLS" {
				return Default + "250 injected\r\n"
			}
			return Default
		},
	}
	meet(t, mx, func(t *testing.T, msa *MSA, _ *Conn) {
		msa.TLS = &tls.Config{RootCAs: Roots(t), ServerName: "mx.example.net"}
		d := msa.Deliver("a@example.com", twoRcpts, []byte("x\r\n"), false)
		if d.Err == nil || !strings.Contains(d.Err.Error(), "octets before the handshake") || !d.All(Deferred) {
			t.Errorf("got %+v", d)
		}
	})
}
