package session_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// An oldMX is one whose connections each go another way.
type oldMX struct {
	rig
	replies []func(string, int) string // of the first connection, the second …; the last one for all that follow
	heard   []*smtptest.MX
	refuse  int // number of the connection that is refused; 0: none
	dials   int
}

func newOldMX(replies ...func(string, int) string) *oldMX {
	r := &oldMX{replies: replies}
	r.engine.Engine = session.Engine{Observe: true, Live: &r.live, Recorder: &r.log}
	r.engine.leaves(dialFunc(r.dial))
	return r
}

func (r *oldMX) dial(_ context.Context, req session.DialRequest) (session.Outbound, error) {
	if r.dials++; r.dials == r.refuse {
		return session.Outbound{SendingIP: ownIP}, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	}
	mx := &smtptest.MX{Reply: r.replies[min(r.dials, len(r.replies))-1]}
	proxy, far := smtptest.Pair(netip.AddrPortFrom(ownIP, 50000), mxAddr)
	go mx.ServeConn(far)
	r.heard = append(r.heard, mx)
	return session.Outbound{Conn: proxy, SendingIP: ownIP, Name: "out10.example.jp"}, nil
}

func (r *oldMX) commands() (all []string) {
	for _, mx := range r.heard {
		all = append(all, strings.Join(mx.Mailbox.Commands(), " "))
	}
	return all
}

// onEHLO answers EHLO so, on every connection, and HELO as a mail server does.
func onEHLO(reply string) func(string, int) string { return always("EHLO", reply) }

var ehloDropped = map[string]string{
	"FIN":           smtptest.CloseConn,
	"RST":           smtptest.ResetConn,
	"500, then FIN": "500 5.5.1 unknown\r\n" + smtptest.CloseConn,
	"500, then RST": "500 5.5.1 unknown\r\n" + smtptest.ResetConn,
	"502 and stays": "502 5.5.1 unknown\r\n",
	"421, then FIN": "421 4.3.2 bye\r\n" + smtptest.CloseConn,
}

// The MSA says HELO and never heard of EHLO, which is kanmon's: however the MX takes that, the mail is delivered, over one more
// connection at most, in this session and for all its mails.
//
// law: S2/MX-lost S2/MX-refuses S2/MX-421 K-HELO
func TestHELOBehindADroppedEHLO(t *testing.T) {
	for name, reply := range ehloDropped {
		t.Run(name, bubble(func(t *testing.T) {
			r := newOldMX(onEHLO(reply))
			msa := r.msa(t)
			msa.Expect(220)
			if got := msa.Command("HELO pc.example.com"); got.Code != 250 || len(got.Lines) != 1 {
				t.Fatalf("HELO: %v", got)
			}
			for _, line := range []string{"MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>"} {
				if got := msa.Command(line); got.Code != 250 {
					t.Fatalf("%s: %v", line, got)
				}
			}
			if got := msa.Command("HELO again.example.com"); got.Code != 250 {
				t.Errorf("HELO again: %v", got)
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
			want := 2
			if strings.Contains(name, "stays") {
				want = 1
			}
			if r.dials != want {
				t.Errorf("%d connections: %q", r.dials, r.commands())
			}
			if last := r.commands()[r.dials-1]; r.dials == 2 && strings.Contains(last, "EHLO") {
				t.Errorf("EHLO was said again: %q", last)
			}
		}))
	}
}

// Where HELO does no better the MSA hears what the MX has said: to HELO, else to EHLO; else that the connection was lost. No third
// connection is made for it. (A RST destroys what was not read yet, which is either the reply before it or nothing.)
//
// law: S2/MX-lost S2/MX-refuses S2/MX-421 N-a
func TestHELOInVain(t *testing.T) {
	dropped := func(verb string, _ int) string {
		if verb == "EHLO" || verb == "HELO" {
			return smtptest.CloseConn
		}
		return smtptest.Default
	}
	refusing := always("HELO", "554 5.7.1 go away\r\n")
	for _, first := range []struct{ name, want string }{
		{"FIN", "421 4.4.2 "}, {"RST", "421 4.4.2 "}, {"500, then FIN", "500 5.5.1 unknown"}, {"500, then RST", "421 4.4.2 "}, {"421, then FIN", "421 4.3.2 bye"},
	} {
		for second, want := range map[string]string{"lost": first.want, "refused dial": first.want, "banner lost": first.want, "refused": "554 5.7.1 go away", "421": "421 4.3.2 second"} {
			t.Run(fmt.Sprintf("%s, then %s", first.name, second), bubble(func(t *testing.T) {
				r := newOldMX(onEHLO(ehloDropped[first.name]), map[string]func(string, int) string{
					"lost": dropped, "refused": refusing, "refused dial": dropped,
					"banner lost": always("BANNER", smtptest.CloseConn), "421": always("HELO", "421 4.3.2 second\r\n"),
				}[second])
				if second == "refused dial" {
					r.refuse = 2
				}
				msa := r.msa(t)
				msa.Expect(220)
				got := msa.Command("HELO pc.example.com")
				readBefore := first.name == "500, then RST" && want == first.want && strings.HasPrefix(got.String(), "500 5.5.1 unknown")
				if !readBefore && !strings.HasPrefix(got.String(), want) || r.dials != 2 {
					t.Errorf("answered %q after %d connections, want %q", got, r.dials, want)
				}
				if got.Code == 500 { // and nothing is left of it for what comes next
					if next := msa.Command("MAIL FROM:<a@example.com>"); next.Code/100 != 4 {
						t.Errorf("MAIL: %v", next)
					}
				} else if got.Code != 421 {
					if bye := msa.Command("QUIT"); bye.Code != 221 {
						t.Errorf("QUIT: %v", bye)
					}
				}
				_ = msa.Conn().Close()
				time.Sleep(time.Hour)
			}))
		}
	}
}

// For an MSA that says EHLO it is done only where no TLS can be lost by it: not where TLS must be, and not where the MX has offered it
// before. What the MX says is the MSA's to hear.
//
// law: S2/MX-lost S2/MX-refuses S2/MX-421 I9
func TestHELOForAnMSAThatSaidEHLO(t *testing.T) {
	for name, want := range map[string]string{
		"FIN": "250 ", "RST": "250 ", "500, then FIN": "500 5.5.1 unknown", "502 and stays": "502 5.5.1 unknown", "421, then FIN": "421 4.3.2 bye",
	} {
		for _, how := range []string{"", "TLS must be", "TLS was seen"} {
			t.Run(name+" "+how, bubble(func(t *testing.T) {
				r := newOldMX(onEHLO(ehloDropped[name]))
				want := want
				if how != "" && want == "250 " {
					want = "421 4.4.2 "
				}
				switch how {
				case "TLS must be":
					r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{TLS: session.TLSRequire} }
				case "TLS was seen":
					r.replies = slices.Insert(r.replies, 0, always("EHLO", "250-mx\r\n250 STARTTLS\r\n"))
					msa := r.msa(t)
					msa.Expect(220)
					msa.Send("EHLO msa.example.com")
					time.Sleep(time.Second)
					_ = msa.Conn().Close()
					time.Sleep(time.Hour)
					r.replies, r.heard, r.dials = r.replies[1:], nil, 0
				}
				msa := r.msa(t)
				msa.Expect(220)
				got := msa.Command("EHLO msa.example.com")
				if !strings.HasPrefix(got.String(), want) || len(got.Lines) > 1 {
					t.Errorf("answered %q, want %q", got, want)
				}
				connections := 1
				if want == "250 " {
					connections = 2
					if got := msa.Command("MAIL FROM:<a@example.com>"); got.Code != 250 {
						t.Errorf("MAIL: %v", got)
					}
				}
				if r.dials != connections {
					t.Errorf("%d connections: %q", r.dials, r.commands())
				}
				_ = msa.Conn().Close()
				time.Sleep(time.Hour)
			}))
		}
	}
}

// An MSA that says EHLO, hears 500, and says HELO as RFC 5321 §3.2 has it: that works although the MX has closed the connection.
//
// law: S2/MX-refuses S2/MX-lost
func TestMSAFallsBackToHELOItself(t *testing.T) {
	for _, pause := range []time.Duration{0, 10 * time.Second, 4 * time.Minute} {
		t.Run(pause.String(), bubble(func(t *testing.T) {
			r := newOldMX(onEHLO("500 5.5.1 unknown\r\n" + smtptest.CloseConn))
			msa := r.msa(t)
			msa.Expect(220)
			if got := msa.Command("EHLO msa.example.com"); got.Code != 500 {
				t.Fatalf("EHLO: %v", got)
			}
			time.Sleep(pause)
			if got := msa.Command("HELO msa.example.com"); got.Code != 250 {
				t.Fatalf("HELO: %v; %q", got, r.commands())
			}
			if got := msa.Command("MAIL FROM:<a@example.com>"); got.Code != 250 {
				t.Errorf("MAIL: %v", got)
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
		}))
	}
}

// A reset at EHLO that HELO does not mend is rescued as before, and the other sending IP is greeted with EHLO.
//
// law: S2/replay
func TestHELOComesBeforeARescue(t *testing.T) {
	bubble(func(t *testing.T) {
		r := newManyIPs(2)
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "EHLO" || verb == "HELO" {
				return smtptest.ResetConn
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		_ = msa.Quit()
		time.Sleep(time.Hour)
		synctest.Wait()
		if !got.All(smtptest.Accepted) || !slices.Equal(r.dialed, []netip.Addr{sendingIPs[0], sendingIPs[0], sendingIPs[1]}) {
			t.Errorf("%v, dials from %v", got.Verdicts, r.dialed)
		}
		if heard := strings.Join(r.mxs[1].Mailbox.Commands(), " "); !strings.HasPrefix(heard, "EHLO") {
			t.Errorf("the second IP's MX heard %q", heard)
		}
	})(t)
}
