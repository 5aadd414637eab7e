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
		ip := legIP(i)
		if slices.Contains(req.Avoid, ip) {
			continue
		}
		proxy, far := smtptest.Pair(netip.AddrPortFrom(ip, 50000), mxAddr)
		go r.mxs[i].ServeConn(far)
		r.dialed = append(r.dialed, ip)
		return session.Outbound{Conn: proxy, SendingIP: ip, Name: fmt.Sprintf("out%d.example.jp", i)}, nil
	}
	return session.Outbound{}, session.ErrNoOtherIP
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
