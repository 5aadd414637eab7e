package session_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// What is recorded of a refusal that no other sending IP was spent on costs what is kept of it, and not all that the MX says: that may be 64 KiB to
// each of a thousand recipients.
func TestLongRefusalsCostWhatIsKeptOfThem(t *testing.T) {
	const rcpts = 300
	long := "550-203.0.113.10 is listed\r\n" + strings.NewReplacer("250-", "550-", "250 ok", "550 no").Replace(longReply)
	cost := func(why string) int {
		r := newManyIPs(2)
		r.judge.Judgement = session.Judgement{Class: event.IPBlocklisted, Rule: "test", Why: why}
		rcptsAt(&r.mx, long)
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range rcpts {
			msa.Command(fmt.Sprintf("RCPT TO:<b%d@example.net>", i))
		}
		runtime.ReadMemStats(&after)
		_ = msa.Quit()
		_ = msa.Conn().Close()
		return int(after.TotalAlloc - before.TotalAlloc)
	}
	without, with := cost(""), cost("no other sending IP")
	t.Logf("%d octets for each refusal, %d where it is recorded that it stays", without/rcpts, with/rcpts)
	if more := (with - without) / rcpts; more > 64<<10 {
		t.Errorf("%d octets more for each refusal", more)
	}
}
