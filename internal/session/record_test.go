package session_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// stuckRecorder takes an hour for a record, as a dead disk would.
type stuckRecorder struct{ calls int }

func (r *stuckRecorder) Record(rec *event.Record) {
	r.calls++
	time.Sleep(time.Hour)
	rec.Release()
}

// The reply to the dot is on its way before a record of it exists: not even a Recorder that breaks its promise delays it.
//
// law: I2 I14
func TestReplyToTheDotComesBeforeItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var stuck stuckRecorder
		w.engine.Recorder = &stuck
		conn := w.connect()
		msa := smtptest.NewMSA(t, conn)
		begun := time.Now()
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		if d := time.Since(begun); !got.All(smtptest.Accepted) || d > time.Second {
			t.Errorf("%v after %s", got.Verdicts, d)
		}
		conn.Close()
		w.close()
		if stuck.calls == 0 {
			t.Error("nothing was recorded")
		}
	})
}

// Each reply, each time and each outcome of a transaction is on record.
func TestTransactionRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var kept keeper
		w.engine.Recorder = &kept
		w.mx.Reply = func(verb string, n int) string {
			switch {
			case verb == "RCPT" && n == 2:
				return smtptest.Delay(3*time.Second) + "550-5.1.1 <nobody@example.net>\r\n" + smtptest.Delay(2*time.Second) + "550 5.1.1 unknown\r\n"
			case verb == ".":
				return smtptest.Delay(7*time.Second) + "250 2.0.0 queued\r\n"
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net", "nobody@example.net"}, []byte("text\r\n"), true)
		msa.Quit()
		w.close()
		if len(kept.transactions) != 1 {
			t.Fatalf("%d transactions", len(kept.transactions))
		}
		tx := kept.transactions[0]
		if tx.sender != "a@example.com" || tx.Outcome != event.OutcomeDelivered || tx.BodyBytes != 6 {
			t.Errorf("%+v", tx)
		}
		if r := tx.Recipients[1].Reply; r.Code != 550 || r.First.Duration().Round(time.Second) != 3*time.Second || r.Took.Duration().Round(time.Second) != 5*time.Second {
			t.Errorf("second recipient: %+v", r)
		}
		if tx.replies[1] != "550-5.1.1 <nobody@example.net>\n550 5.1.1 unknown" {
			t.Errorf("second recipient's reply: %q", tx.replies[1])
		}
		if tx.Dot.Took.Duration().Round(time.Second) != 7*time.Second {
			t.Errorf("dot: %+v", tx.Dot)
		}
		if kept.end.Delivered != 1 || kept.end.Reason != session.EndQuit || kept.end.FromMSA == 0 || kept.end.ToMX == 0 {
			t.Errorf("end: %+v", kept.end)
		}
	})
}

// The replies to the steps of opening are on record with their times: that of a tarpit's banner, too, octet by octet.
func TestOpeningRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var kept keeper
		w.engine.Recorder = &kept
		w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate(t, smtptest.CertificateOptions{})}}
		w.mx.Keywords = []string{"SIZE 1"}
		w.mx.KeywordsTLS = []string{"SIZE 2"}
		w.mx.Reply = func(verb string, n int) string {
			if verb == "BANNER" {
				return smtptest.Delay(3*time.Second) + "220 " + smtptest.Delay(time.Second) + "slow\r\n"
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		time.Sleep(time.Minute) // what is gathered is handed over, and the replies are kept
		msa.Quit()
		w.close()
		want := []string{
			"banner 220 slow", "ehlo 250-mx.example.net\n250-SIZE 1\n250 STARTTLS", "starttls 220 2.0.0 Ready",
			"ehlo_tls 250-mx.example.net\n250 SIZE 2",
		}
		if diff := cmp.Diff(want, kept.opening); diff != "" {
			t.Error(diff)
		}
		banner := kept.end.Opening[0].Reply
		if banner.Code != 220 || banner.First.Duration() != 3*time.Second || banner.Took.Duration() != 4*time.Second {
			t.Errorf("banner: %+v", banner)
		}
	})
}

// An MX that refuses with its banner is the reason that the session ended, however the MSA takes it.
func TestRefusedByBannerRecord(t *testing.T) {
	for _, quits := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var kept keeper
			w.engine.Recorder = &kept
			w.mx.Reply = func(string, int) string { return "554 5.7.1 203.0.113.10 is listed\r\n" + smtptest.CloseConn }
			conn := w.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(554)
			if quits {
				msa.Quit()
			}
			conn.Close()
			w.close()
			if kept.end.Reason != "mx_refused" || kept.end.Phase != event.PhaseBanner || kept.end.Opening[0].Reply.Code != 554 {
				t.Errorf("quits %v: %+v", quits, kept.end)
			}
		})
	}
}

// What kanmon answers itself is on record as its own.
func TestOwnAnswersAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var kept keeper
		w.engine.Recorder = &kept
		w.engine.Limits.Recipients = 1
		w.engine.Limits.Transactions = 1
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net"}, []byte("text\r\n"), true)
		msa.Command("MAIL FROM:<d@example.com>")
		w.close()
		if len(kept.transactions) != 2 || kept.end.Transactions != 2 {
			t.Fatalf("%d transactions, %d counted", len(kept.transactions), kept.end.Transactions)
		}
		first, second := kept.transactions[0], kept.transactions[1]
		if r := first.Recipients[0].Reply; r.Local || r.Code != 250 {
			t.Errorf("first recipient: %+v", r)
		}
		if r := first.Recipients[1].Reply; !r.Local || r.Code != 452 || first.recipients[1] != "c@example.net" || first.Outcome != event.OutcomeDelivered {
			t.Errorf("recipient beyond the limit: %q %+v, %v", first.recipients[1], r, first.Outcome)
		}
		if !second.Mail.Local || second.Mail.Code != 421 || second.sender != "d@example.com" || second.Outcome != event.OutcomeDeferred || second.Number != 2 {
			t.Errorf("mail beyond the limit: %+v", second)
		}
	})
}

// A sender that cannot be read is on record as it came: it is not the null sender.
func TestUnreadableSenderIsOnRecord(t *testing.T) {
	for line, want := range map[string]string{
		"MAIL FROM:Bob <a@example.com>":           "Bob <a@example.com>",
		"MAIL from : <a@example.com>":             "<a@example.com>",
		"MAIL FROM:<a@example.com> b@example.com": "<a@example.com> b@example.com",
		"MAIL <a@example.com>":                    "<a@example.com>",
		"MAIL FROM:<a@example.com> SIZE=6":        "a@example.com",
		"MAIL FROM:<>":                            "",
		"MAIL FROM:":                              "",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			kept := &keeper{}
			r.engine.Recorder = kept
			msa := r.msa(t)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Command(line)
			finishSession(msa)
			synctest.Wait()
			if len(kept.transactions) != 1 || kept.transactions[0].sender != want {
				t.Errorf("%s: %+v, want %q", line, kept.transactions, want)
			}
		})
	}
}

// A keeper copies transactions out of their records.
type keeper struct {
	transactions []keptTransaction
	end          event.End
	opening      []string // phase and text of each
	lines        []string
}

type keptTransaction struct {
	event.Transaction
	sender     string
	recipients []string
	replies    []string // to each recipient
}

func (k *keeper) Record(r *event.Record) {
	for _, l := range r.Lines {
		k.lines = append(k.lines, l.Mark.String()+" "+string(r.Text(l.Text)))
	}
	if r.Transaction != nil {
		tx := keptTransaction{Transaction: *r.Transaction, sender: string(r.Text(r.Transaction.Sender))}
		tx.Recipients = append([]event.Recipient(nil), r.Transaction.Recipients...)
		for _, rcpt := range tx.Recipients {
			tx.replies = append(tx.replies, string(r.Text(rcpt.Reply.Text)))
			tx.recipients = append(tx.recipients, string(r.Text(rcpt.Address)))
		}
		k.transactions = append(k.transactions, tx)
	}
	if r.End != nil {
		k.end = *r.End
		for _, o := range r.End.Opening {
			k.opening = append(k.opening, o.Phase.String()+" "+string(r.Text(o.Reply.Text)))
		}
		k.end.Opening = append([]event.Opening(nil), r.End.Opening...)
	}
	r.Release()
}

// What is no command is not recorded: it may be a mail's text. Credentials are not, either.
func TestNothingPrivateIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var kept keeper
		w.engine.Recorder = &kept
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		for _, line := range []string{"AUTH PLAIN canary1", "canary2 in a text", "X-EXPS GSSAPI canary3", "XCLIENT LOGIN=canary4", "BDAT 6canary5"} {
			msa.Command(line)
		}
		w.close()
		w = newWorld(t)
		w.engine.Recorder = &kept
		msa = smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("Subject: canary6\r\n\r\ncanary7\r\n"), false)
		msa.Quit()
		w.close()
		if all := strings.Join(kept.lines, "\n"); strings.Contains(all, "canary") {
			t.Errorf("recorded:\n%s", all)
		}
	})
}

// An MSA that has sent more than it reads still gets the last reply: the socket is not closed under it.
//
// law: N-b
func TestLastReplyIsRead(t *testing.T) {
	msa, mx := relay(t, nil)
	defer msa.Close()
	buf := make([]byte, 4096)
	msa.Write([]byte("MAIL FROM:<a@example.com>\r\n"))
	mx.Read(buf)
	msa.Write([]byte(strings.Repeat("RCPT TO:<b@example.net>\r\n", 100)))
	mx.Write([]byte("421 4.3.0 down\r\n"))
	mx.Close()
	time.Sleep(200 * time.Millisecond)
	_ = msa.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := msa.Read(buf)
	if err != nil || string(buf[:n]) != "421 4.3.0 down\r\n" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}
