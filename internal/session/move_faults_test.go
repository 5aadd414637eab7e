package session_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// Two mails in one group, which only a broken or a hostile MSA sends: the first one is a's, and must not leave from b's IP.
func TestNestedMailInAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		replies := msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<c@example.net>", "MAIL FROM:<b@example.com>", "DATA")
		if len(replies) == 4 && replies[3].Code == 354 {
			msa.Send("text", ".")
			msa.Expect(250)
		}
		finishSession(msa)
		if got := senders(&r.second); slices.Contains(got, "a@example.com") {
			t.Errorf("mail of a left from b's IP: %q (%v)", got, replies)
		}
	})
}

// The same, with b's IP the one at hand and a recipient that moves.
func TestNestedMailThenRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		m := new(byPair)
		r.engine.Mover, r.choose = m, m.right
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<c@example.net>", "MAIL FROM:<b@example.com>")
		msa.Command("RCPT TO:<x@other.example>") // for b this recipient has its own IP, for a it has not
		if msa.Command("DATA").Code == 354 {
			msa.Send("text", ".")
			msa.Expect(250)
		}
		finishSession(msa)
		if got := senders(&r.second); slices.Contains(got, "a@example.com") {
			t.Errorf("mail of a left from b's IP: %q", got)
		}
	})
}

// byPair lets b's mail to other.example leave from the second sending IP, all else from the first.
type byPair struct{}

func (m *byPair) MayStay(req session.DialRequest, ip netip.Addr) bool { return ip == m.right(req) }

func (*byPair) right(req session.DialRequest) netip.Addr {
	if strings.HasPrefix(req.Sender, "b@") && strings.HasSuffix(req.Recipient, "@other.example") {
		return sendingIPs[1]
	}
	return sendingIPs[0]
}

// poolOf is a Mover and the dialler's choice: b's mail has the second and the third sending IP, all else the first.
type poolOf struct{ r *manyIPs }

func (p poolOf) MayStay(req session.DialRequest, ip netip.Addr) bool {
	return slices.Contains(p.pool(req), int(ip.As4()[3])-10)
}

func (poolOf) pool(req session.DialRequest) []int {
	if strings.HasPrefix(req.Sender, "b@") {
		return []int{1, 2}
	}
	return []int{0}
}

func (p poolOf) dial(_ context.Context, req session.DialRequest) (session.Outbound, error) {
	r := p.r
	for _, i := range p.pool(req) {
		ip := netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)})
		if slices.Contains(req.Avoid, ip) {
			continue
		}
		proxy, far := smtptest.Pair(netip.AddrPortFrom(ip, 50000), mxAddr)
		go r.mxs[i].ServeConn(far)
		r.dialed = append(r.dialed, i)
		return session.Outbound{Conn: proxy, SendingIP: ip, Name: fmt.Sprintf("out%d.example.jp", i)}, nil
	}
	return session.Outbound{}, session.ErrNoOtherIP
}

// A refusal that a move meets is one like any other: it is evidence, and another IP of the pool is tried.
func TestRefusalBehindAMove(t *testing.T) {
	for _, verb := range []string{"BANNER", "EHLO", "MAIL"} {
		t.Run(verb, bubble(func(t *testing.T) {
			r := newManyIPs(3)
			p := poolOf{r}
			r.engine.Dialer, r.engine.Mover = dialFunc(p.dial), p
			r.mxs[1].Reply = always(verb, listed)
			msa := r.msa(t)
			got := msa.Deliver("b@example.com", []string{"c@example.net"}, []byte("text\r\n"), false)
			finishSession(msa)
			if !got.All(smtptest.Accepted) || r.mxs[2].Mailbox.Len() != 1 {
				t.Errorf("%v %v; dialled %v; judged %d refusals", got.Verdicts, got.Replies, r.dialed, len(r.judge.asked))
			}
		}))
	}
}

// What is suspended at the connect is the pool of those whom nobody knows yet; the sender's own pool is well.
func TestSuspendedPoolOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		dial := r.dial
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			if !strings.HasPrefix(req.Sender, "b@") {
				return session.Outbound{}, session.ErrSuspended
			}
			return dial(ctx, req)
		})
		msa := r.msa(t)
		got := msa.Deliver("b@example.com", []string{"c@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if !got.All(smtptest.Accepted) {
			t.Errorf("%v %v: b's own IP is not suspended", got.Verdicts, got.Replies)
		}
	})
}

// A mail whose own IPs are suspended is told so, wherever that is seen.
func TestSuspendedAtMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		dial := r.dial
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			if strings.HasPrefix(req.Sender, "b@") {
				return session.Outbound{}, session.ErrSuspended
			}
			return dial(ctx, req)
		})
		msa := r.msa(t)
		got := msa.Deliver("b@example.com", []string{"c@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if len(got.Replies) == 0 || !strings.Contains(got.Replies[0].String(), "4.7.1") {
			t.Errorf("%v, want the reply of suspended IPs", got.Replies)
		}
	})
}

// Where all IPs of the mail's pool have been suspended meanwhile, a session that is open says so, whichever command finds it out, and
// the log has that as its reason. The next mail of the session may have others.
//
// audit-C4
func TestAnOpenSessionNamesTheSuspension(t *testing.T) {
	for _, at := range []string{"MAIL", "RCPT"} {
		synctest.Test(t, func(t *testing.T) {
			r, log := newMoving(), new(records)
			dial := r.dial
			r.engine.Recorder = log
			r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
				switch {
				case !strings.HasPrefix(req.Sender, "b@") && !strings.HasSuffix(req.Recipient, "@other.example"):
					return dial(ctx, req)
				case req.Rescue: // as the daemon's: the others were suspended before
					return session.Outbound{}, session.ErrNoOtherIP
				}
				return session.Outbound{}, fmt.Errorf("dial 192.0.2.25 from pool default: %w", session.ErrSuspended)
			})
			msa := r.msa(t)
			from, to := "b@example.com", "c@example.net"
			if at == "RCPT" {
				from, to = "a@example.com", "x@other.example"
			}
			got := msa.Deliver(from, []string{to}, []byte("text\r\n"), false)
			next := msa.Deliver("a@example.com", []string{"c@example.net"}, []byte("text\r\n"), false)
			finishSession(msa)
			synctest.Wait()
			said := ""
			for _, reply := range got.Replies {
				said += reply.String() + "\n"
			}
			if !strings.Contains(said, "451 4.7.1 kanmon: all sending IPs for this destination are suspended at present; your mail stays queued") || strings.ContainsAny(said, "[]@") || strings.Contains(said, "203.0.113") {
				t.Errorf("%s: %s", at, said)
			}
			if !next.All(smtptest.Accepted) {
				t.Errorf("%s: the next mail: %v %v", at, next.Verdicts, next.Replies)
			}
			if text := strings.Join(log.lines, "\n"); strings.Contains(text, "mx_unreachable") || !strings.Contains(text, "ips_suspended") {
				t.Errorf("%s: the log says\n%s", at, text)
			}
		})
	}
}

// A TLS promise survives a move behind MAIL that meets a broken handshake.
func TestMoveKeepsTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
		r.mx.TLS = newTLSServer(cert)
		r.second.Keywords = []string{"PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS"}
		r.second.Reply = always("STARTTLS", "454 4.7.0 no\r\n")
		msa := r.msa(t)
		got := msa.Deliver("b@example.com", []string{"c@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if got.All(smtptest.Accepted) || r.second.Mailbox.Len() > 0 {
			t.Errorf("%v %v: plain", got.Verdicts, got.Replies)
		}
	})
}

// A7: behind a MAIL and a RCPT that kanmon has refused itself, a DATA of the same group must not reach a transaction that the MX
// still has from before: it would get a message that nobody has sent.
func TestDataBehindARefusedMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		r.second.Reply = func(string, int) string { return smtptest.ResetConn }
		r.mx.Reply = refuseAt("DATA", 1, "451 4.3.0 not now\r\n")
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<c@example.net>", "DATA")
		replies := msa.Pipeline("MAIL FROM:<b@example.com>", "RCPT TO:<d@example.net>", "DATA")
		if replies[2].Code == 354 { // RFC 2920 section 3.1: no recipient was accepted, so nothing but the dot
			t.Log(msa.Command("."))
		}
		finishSession(msa)
		if n := r.mx.Mailbox.Len(); n > 0 {
			t.Errorf("%v; delivered %+v", replies, r.mx.Mailbox.Transactions()[0])
		}
	})
}
