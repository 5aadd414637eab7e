package session_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// A drain whose time is over cuts a session that writes to an MSA which does not read.
func TestCutWithStuckMSA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		_ = conn.SetReadBuffer(0)
		msa.Send("NOOP")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begun := time.Now()
		_ = r.live.Drain(ctx)
		<-ended
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("the cut took %s", took)
		}
		_ = conn.Close()
	})
}

// While draining, too, a 421 is not destroyed by a command that crosses it.
func TestDrainLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		go func() { _ = r.live.Drain(ctx) }()
		time.Sleep(350 * time.Millisecond) // the MAIL is sent before the 421 has arrived: a long line
		_, err := io.WriteString(conn, "MAIL FROM:<a@example.com>\r\n")
		time.Sleep(time.Second)
		heard := readAll(conn)
		if !strings.HasPrefix(heard, "421") {
			t.Errorf("write: %v; heard %q", err, heard)
		}
		_ = conn.Close()
		<-ended
	})
}

// S5: a refused DATA ends the transaction; a drain then ends the session.
func TestDrainBehindRefusedData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "DATA" {
				return "451 4.3.0 not now\r\n"
			}
			return smtptest.Default
		}
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		begun := time.Now()
		go func() { _ = r.live.Drain(context.Background()) }()
		<-ended
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("the drain took %s", took)
		}
		_ = conn.Close()
	})
}

// SIGTERM: transactions finish, the next MAIL gets 421, idle sessions end at once.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		busy := smtptest.NewMSA(t, w.connect())
		busy.Expect(220)
		busy.Command("EHLO msa.example.com")
		busy.Command("MAIL FROM:<a@example.com>")
		idle := smtptest.NewMSA(t, w.connect())
		idle.Expect(220)
		idle.Command("EHLO msa.example.com")
		drained := make(chan error)
		go func() { drained <- w.engine.Live.Drain(context.Background()) }()
		begun := time.Now()
		idle.Expect(421)
		if d := time.Since(begun); d > time.Second {
			t.Errorf("the idle session ended after %s", d)
		}
		time.Sleep(20 * time.Second)
		busy.Command("RCPT TO:<b@example.net>")
		if r := busy.Data([]byte("text\r\n")); r.Code != 250 {
			t.Errorf("the open transaction got %s", r)
		}
		begun = time.Now()
		busy.Expect(421)
		late := smtptest.NewMSA(t, w.connect())
		late.Expect(421)
		if err := <-drained; err != nil || time.Since(begun) > time.Second {
			t.Errorf("drained after %s: %v", time.Since(begun), err)
		}
		w.close()
		if w.mx.Mailbox.Len() != 1 {
			t.Errorf("%d messages at the MX", w.mx.Mailbox.Len())
		}
	})
}

// What has not finished when the time is up is cut, and nothing half-sent becomes a message.
//
// law: I4
func TestDrainCutsAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conn := w.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Command("RCPT TO:<b@example.net>")
		msa.Command("DATA")
		conn.Write([]byte("half a mess"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		begun := time.Now()
		if err := w.engine.Live.Drain(ctx); err == nil || time.Since(begun) > 62*time.Second {
			t.Errorf("Drain gave %v after %s", err, time.Since(begun))
		}
		w.close()
		if w.mx.Mailbox.Len() != 0 {
			t.Error("half a message was delivered")
		}
	})
}

// A process that another takes the place of lets mail go on, one behind the other, and ends a session that has idled for a minute.
func TestLeaveLetsMailGoOnAndEndsWhoIdles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		left := make(chan error, 1)
		go func() { left <- r.live.Leave(t.Context(), time.Minute) }()
		for range 5 {
			time.Sleep(50 * time.Second)
			if got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !got.All(smtptest.Accepted) {
				t.Error(got.Verdicts)
			}
		}
		begun := time.Now()
		if heard := readAll(conn); !strings.HasPrefix(heard, "421") {
			t.Errorf("heard %q, want 421", heard)
		}
		_ = conn.Close()
		<-ended
		if err := <-left; err != nil {
			t.Error(err)
		}
		if idled := time.Since(begun); idled < time.Minute || idled > time.Minute+10*time.Second {
			t.Errorf("the session idled for %v, want a minute", idled)
		}
	})
}

// Whoever does not end is left where the time is over, and a drain has the last word.
func TestLeaveGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if err := r.live.Leave(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("left with %v, want the time to be over: a mail is under way", err)
		}
		if got := msa.Command("RCPT TO:<b@example.net>"); got.Code != 250 {
			t.Errorf("the reply is %v", got)
		}
		go func() { _ = r.live.Drain(t.Context()) }()
		msa.Command("RSET")
		_ = readAll(conn)
		_ = conn.Close()
		<-ended
	})
}
