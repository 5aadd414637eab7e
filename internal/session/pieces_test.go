package session_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// stuttered is a reply that comes octet by octet.
func stuttered(text string, pause time.Duration) string {
	var all strings.Builder
	for _, c := range []byte(text) {
		all.WriteString(smtptest.Delay(pause) + string(rune(c)))
	}
	return all.String()
}

// It is on record in how many pieces each reply came, also to the steps of opening: an octet at a time is a tarpit, whatever is slow besides.
func TestPiecesOfRepliesAreOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var kept keeper
		w.engine.Recorder = &kept
		w.mx.Reply = func(verb string, n int) string {
			switch {
			case verb == "BANNER":
				return stuttered("220 mx\r\n", 300*time.Millisecond)
			case verb == "RCPT" && n == 1:
				return smtptest.Delay(time.Minute) + "250-slow\r\n250 and in one piece\r\n"
			case verb == "RCPT":
				return stuttered("550 no\r\n", 200*time.Millisecond)
			case verb == ".":
				return stuttered("250 "+strings.Repeat("x", 400)+"\r\n", 5*time.Millisecond)
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net"}, []byte("text\r\n"), true)
		msa.Quit()
		w.close()
		if len(kept.transactions) != 1 || len(kept.end.Opening) != 2 {
			t.Fatalf("%d transactions, opening %v", len(kept.transactions), kept.opening)
		}
		tx := kept.transactions[0]
		for _, p := range []struct {
			what string
			got  uint8
			want uint8
		}{
			{"banner", kept.end.Opening[0].Reply.Pieces, 8},
			{"EHLO", kept.end.Opening[1].Reply.Pieces, 1},
			{"MAIL", tx.Mail.Pieces, 1},
			{"first RCPT", tx.Recipients[0].Reply.Pieces, 1},
			{"second RCPT, of a group that is late: the rest gathers", tx.Recipients[1].Reply.Pieces, 5},
			{"DATA", tx.Data.Pieces, 1},
			{"dot", tx.Dot.Pieces, 255},
		} {
			if p.got != p.want {
				t.Errorf("%s: %d pieces, want %d", p.what, p.got, p.want)
			}
		}
		if o := kept.end.Opening[0]; o.Leg != 1 {
			t.Errorf("the banner is of connection %d", o.Leg)
		}
		var notes []string
		for _, line := range kept.lines {
			if strings.Contains(line, "pieces") {
				notes = append(notes, line)
			}
		}
		want := " the next reply came in 8 pieces, over 2.1s; the next reply came in 5 pieces, over 1.6s; the next reply came in 255 pieces, over 2.025s"
		if got := strings.Join(notes, ";"); got != want {
			t.Errorf("session log: %q, want %q", got, want)
		}
	})
}

// What kanmon says itself has come in no pieces.
func TestOwnRepliesHaveNoPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var kept keeper
		w.engine.Recorder = &kept
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a b@example.com>")
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Command("DATA")
		msa.Quit()
		w.close()
		for _, tx := range kept.transactions {
			if tx.Mail.Local != (tx.Mail.Pieces == 0) {
				t.Errorf("%+v", tx.Mail)
			}
		}
		if len(kept.transactions) == 0 {
			t.Error("no transaction")
		}
	})
}
