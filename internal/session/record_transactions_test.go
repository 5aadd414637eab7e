package session_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// texts keeps what the records of transactions say of the dot, and how large records become.
type texts struct {
	mu    sync.Mutex
	dots  []string
	data  []string
	rcpts []string
	lines []string
	most  int
	keep  bool
}

func (x *texts) Record(r *event.Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			x.dots = append(x.dots, fmt.Sprint("panic: ", p))
		}
	}()
	n := 0
	for _, l := range r.Lines {
		n += len(r.Text(l.Text))
		if x.keep {
			x.lines = append(x.lines, string(r.Text(l.Text)))
		}
	}
	x.most = max(x.most, n)
	if tx := r.Transaction; tx != nil {
		for _, p := range tx.Recipients {
			x.rcpts = append(x.rcpts, fmt.Sprintf("%s %s", r.Text(p.Address), r.Text(p.Reply.Text)))
		}
		x.data = append(x.data, string(r.Text(tx.Data.Text)))
		x.dots = append(x.dots, string(r.Text(tx.Dot.Text)))
	}
}

// The MX refuses in the middle of the body and the MSA takes its time: the record still shows the reply.
func TestEarlyRefusalKeepsItsText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var x texts
		r.engine.Recorder = &x
		far := make(chan *smtptest.Conn, 1)
		r.wire = func(_ int, _, mx *smtptest.Conn) { far <- mx }
		msa := r.msa(t)
		mx := <-far
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		msa.Send("text")
		synctest.Wait()
		_, _ = io.WriteString(mx, "552 5.3.4 too big for the MX\r\n")
		synctest.Wait()
		msa.Send("text")
		time.Sleep(10 * time.Second)
		msa.Send("text", ".")
		msa.Expect(552)
		_ = msa.Conn().Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(x.dots) != 1 || x.dots[0] != "552 5.3.4 too big for the MX" {
			t.Errorf("the record's reply to the dot: %q", x.dots)
		}
	})
}

// What is gathered for the record stays small, whatever the MSA sends.
func TestRecordStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var x texts
		r.engine.Recorder = &x
		r.engine.Limits.Recipients = 1
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Command("RCPT TO:<a@example.com>")
		line := "RCPT TO:<" + strings.Repeat("a", 3900) + "@example.com>"
		for range 5000 {
			msa.Command(line)
		}
		_ = msa.Quit()
		time.Sleep(time.Minute)
		synctest.Wait()
		if x.most > 1<<20 {
			t.Errorf("one record held %d octets", x.most)
		}
	})
}

// Sessions that kanmon ends are not recorded as ended by QUIT.
func TestEndReason(t *testing.T) {
	for name, send := range map[string]string{"BDAT": "BDAT 10\r\n", "421 at the dot": "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.mx.Reply = func(verb string, _ int) string {
					if verb == "." {
						return "421 4.3.2 going down\r\n" + smtptest.CloseConn
					}
					return smtptest.Default
				}
				conn, _, ended := r.connect()
				_, _ = io.WriteString(conn, "EHLO x\r\n"+send)
				time.Sleep(time.Second)
				if name != "BDAT" {
					_, _ = io.WriteString(conn, "text\r\n.\r\n")
				}
				readAll(conn)
				_ = conn.Close()
				<-ended
				if got := r.log.lastEnd(); got == session.EndQuit {
					t.Errorf("the end's reason is %q, and nobody sent QUIT", got)
				}
			})
		})
	}
}

// Replies are recorded with the commands they answer.
func TestRecipientsKeepTheirReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var x texts
		r.engine.Recorder = &x
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		replies := msa.Pipeline("RCPT TO:<lost@example.net>", "MAIL FROM:<a@example.com>", "RCPT TO:<good@example.net>")
		_ = msa.Quit()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(x.rcpts) != 1 || !strings.Contains(x.rcpts[0], "good@example.net 250") {
			t.Errorf("replies %v, recorded %q", replies, x.rcpts)
		}
	})
}

// No credential is recorded.
func TestAuthBehindTab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		x := texts{keep: true}
		r.engine.Recorder = &x
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("AUTH\tPLAIN\tc2VjcmV0")
		_ = msa.Quit()
		time.Sleep(time.Minute)
		synctest.Wait()
		if all := strings.Join(x.lines, "\n"); strings.Contains(all, "c2VjcmV0") {
			t.Errorf("the record holds the credential: %q", all)
		}
	})
}

// Who has hung up behind the dot cannot have been told, even if the kernel still took the reply.
//
// law: S7/MSA-lost
func TestOrphanAckIsRecordedAsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Reply = lateReply(".", 40*time.Second)
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		msa.Send("text", ".")
		time.Sleep(time.Second)
		_ = conn.Close()
		<-ended
		if r.log.count(event.OutcomeOrphanAck) != 1 {
			t.Errorf("recorded %v", r.log.outcomes)
		}
	})
}

// RFC 2920 §3.1 lets RSET and a second MAIL stand in one group. Both transactions must be on record.
//
// law: I6
func TestSecondTransactionOfAGroupIsNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "RSET", "MAIL FROM:<c@example.com>", "RCPT TO:<d@example.net>", "DATA")
		msa.Send("text", ".")
		msa.Expect(250)
		_ = msa.Quit()
		synctest.Wait()
		if r.log.count(event.OutcomeReset) != 1 || r.log.count(event.OutcomeDelivered) != 1 {
			t.Errorf("recorded %v, want reset and delivered", r.log.outcomes)
		}
	})
}

// How many recipients the MX has refused is known without looking at each: also beyond those on record, where the refusal was softened, and not
// what kanmon itself has refused.
func TestRefusedRecipientsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var c clerk
		w.engine.Recorder = &c
		w.mx.Reply = func(verb string, n int) string {
			if verb == "RCPT" && n%2 == 0 {
				return "550 5.1.1 unknown\r\n"
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		for _, rcpts := range []int{1, 3, 1009} { // the MX sees a thousand of one mail
			msa.Command("MAIL FROM:<a@example.com>")
			for i := range rcpts {
				msa.Command(fmt.Sprintf("RCPT TO:<b%d@example.net>", i))
			}
			msa.Command("RCPT TO:<b@example.net> BAD=\x01")
			msa.Command("RSET")
		}
		msa.Quit()
		w.close()
		var got []int
		for i := range c.trans {
			got = append(got, c.trans[i].RcptsRefused)
		}
		if want := []int{0, 2, 500}; !slices.Equal(got, want) {
			t.Errorf("%d were refused, want %d", got, want)
		}
	})
}
