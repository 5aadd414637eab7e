package session_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// longReply is a reply of about as many octets as are read of one.
var longReply = strings.Repeat("250-"+strings.Repeat("x", 1900)+"\r\n", 32) + "250 ok\r\n"

// rcptsAt makes the MX answer RCPT so, and all else as usual.
func rcptsAt(mx *smtptest.MX, reply string) {
	mx.Reply = func(verb string, _ int) string {
		if verb == "RCPT" {
			return reply
		}
		return smtptest.Default
	}
}

// A tenant with an MX of its own costs what the record can show of it, not what the MX says. It was 60 MiB for each of these sessions, and each
// reply copied all of that.
func TestLongRepliesAreNotKept(t *testing.T) {
	const sessions, rcpts, allowed = 3, 1000, 1 << 20
	r := newRig()
	rcptsAt(&r.mx, longReply)
	before := heapInUse()
	var all sync.WaitGroup
	var open []*smtptest.MSA
	for range sessions {
		msa := r.msa(t)
		open = append(open, msa)
		all.Go(func() {
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Command("MAIL FROM:<a@example.com>")
			for i := range rcpts / 10 {
				var group []string
				for j := range 10 {
					group = append(group, fmt.Sprintf("RCPT TO:<b%d@example.net>", i*10+j))
				}
				msa.Pipeline(group...)
			}
		})
	}
	all.Wait()
	if held := (heapInUse() - before) / sessions; held > allowed {
		t.Errorf("%d octets held for a session of %d recipients, want at most %d", held, rcpts, allowed)
	} else {
		t.Logf("%d octets held for a session of %d recipients", held, rcpts)
	}
	for _, msa := range open {
		_ = msa.Quit()
		_ = msa.Conn().Close()
	}
}

func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A long transaction's replies are on record with their codes and some words, the first ones as far as they are written, and with how much
// of each is missing.
func TestLongTransactionIsCutAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var kept keeper
		w.engine.Recorder = &kept
		rcptsAt(&w.mx, longReply)
		msa := smtptest.NewMSA(t, w.connect())
		rcpts := addressees(1000, strings.Repeat("b", 400))
		msa.Deliver("a@example.com", rcpts, []byte("text\r\n"), false)
		msa.Quit()
		w.close()
		if len(kept.transactions) != 1 {
			t.Fatalf("%d transactions", len(kept.transactions))
		}
		tx := kept.transactions[0]
		if len(tx.Recipients) != len(rcpts) || tx.Outcome != event.OutcomeDelivered || tx.Dot.Code != 250 {
			t.Errorf("%d recipients, %v, dot %d", len(tx.Recipients), tx.Outcome, tx.Dot.Code)
		}
		full, all := len(strings.ReplaceAll(longReply, "\r\n", "\n"))-1, 0
		for i, text := range tx.replies {
			reply := tx.Recipients[i].Reply
			if len(text)+reply.Text.Cut() != full || !strings.HasPrefix(text, "250-xxx") {
				t.Fatalf("recipient %d: %d octets kept, %d cut, of %d", i, len(text), reply.Text.Cut(), full)
			}
			if address := tx.recipients[i]; len(address)+tx.Recipients[i].Address.Cut() != len(rcpts[i]) || !strings.HasPrefix(rcpts[i], address) {
				t.Fatalf("recipient %d: %d octets kept, %d cut, of %d", i, len(address), tx.Recipients[i].Address.Cut(), len(rcpts[i]))
			}
			all += len(text) + len(tx.recipients[i])
		}
		if first := len(tx.replies[0]); first < 2048 {
			t.Errorf("%d octets of the first reply", first)
		}
		if all > 700<<10 {
			t.Errorf("%d octets of texts", all)
		}
	})
}

// What a wait costs does not depend on what the transaction has gathered: it was all of that, for each recipient of a tarpit.
func TestWaitsCostWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Recorder = release{}
		rcptsAt(&w.mx, smtptest.Delay(5*time.Second)+"250 "+strings.Repeat("x", 1900)+"\r\n")
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		const rcpts, allowed = 1000, 64 << 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range rcpts {
			msa.Command(fmt.Sprintf("RCPT TO:<b%d@example.net>", i))
		}
		runtime.ReadMemStats(&after)
		msa.Quit()
		w.close()
		if got := after.TotalAlloc - before.TotalAlloc; got > allowed {
			t.Errorf("%d waits allocated %d octets, want at most %d", rcpts, got, allowed)
		} else {
			t.Logf("%d waits allocated %d octets", rcpts, got)
		}
	})
}

// The last of many recipients decides what became of a mail as the first does: one that the MX has taken makes a lost reply to the dot ambiguous.
func TestOutcomeCountsRecipientsBeyondThoseListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var kept keeper
		w.engine.Recorder = &kept
		w.engine.Limits.Recipients = 1001
		w.mx.Reply = func(verb string, n int) string {
			switch {
			case verb == "RCPT" && n <= 1000:
				return "550 5.1.1 unknown\r\n"
			case verb == ".":
				return smtptest.CloseConn
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", addressees(1001, "b"), []byte("text\r\n"), true)
		_ = msa.Conn().Close()
		w.close()
		if len(kept.transactions) != 1 || kept.transactions[0].Outcome != event.OutcomeAmbiguous {
			t.Errorf("%d transactions, want one that is ambiguous: %v", len(kept.transactions), kept.transactions[0].Outcome)
		}
	})
}
