package session_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// Groups of many commands, and what an MX may say to each of them.

// manyRecipients are one mail's, in one write, as a mailing list sends them.
func manyRecipients(n int) []byte {
	group := []byte("MAIL FROM:<news@example.com>\r\n")
	for i := range n {
		group = fmt.Appendf(group, "RCPT TO:<r%d@example.net>\r\n", i)
	}
	return append(group, "RSET\r\n"...)
}

// addressees are so many mailboxes whose names begin alike.
func addressees(n int, name string) (rcpts []string) {
	for i := range n {
		rcpts = append(rcpts, fmt.Sprintf("%s%d@example.net", name, i))
	}
	return rcpts
}

// BenchmarkRecipients is a transaction with 1,000 recipients through a session that stays open, peers included.
func BenchmarkRecipients(b *testing.B) {
	for name, reply := range map[string]string{
		"taken":         "250 2.1.5 Ok\r\n",
		"taken, 58 KB":  strings.Repeat("250-"+strings.Repeat("fine ", 90)+"\r\n", 128) + "250 fine\r\n",
		"refused":       "550 5.1.1 User unknown\r\n",
		"refused, 2 KB": "550-" + strings.Repeat("用户不存在", 30) + "\r\n550-" + strings.Repeat("用户不存在", 30) + "\r\n550 " + strings.Repeat("用户不存在", 70) + "\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			msa, mx := relay(b, release{})
			defer msa.Close()
			defer mx.Close()
			go answerEach(mx, reply)
			group, in := manyRecipients(1000), bufio.NewReaderSize(msa, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				written := make(chan error, 1)
				go func() {
					_, err := msa.Write(group)
					written <- err
				}()
				if err := skipReplies(in, 1002); err != nil {
					b.Fatal(err)
				}
				if err := <-written; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// answerEach gives every RCPT the same reply, and all else 250.
func answerEach(mx net.Conn, reply string) {
	in, out := bufio.NewReaderSize(mx, 64<<10), bufio.NewWriterSize(mx, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		say := "250 2.0.0 Ok\r\n"
		if bytes.HasPrefix(line, []byte("RCPT")) {
			say = reply
		}
		_, _ = out.WriteString(say)
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

func skipReplies(in *bufio.Reader, n int) error {
	for n > 0 {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line[3] == ' ' {
			n--
		}
	}
	return nil
}

// Each refusal of a long group is judged with what that group has said, whichever of its commands is refused.
//
// law: I20
func TestEachRefusalOfAGroupIsJudgedWithWhatItSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.judge.Judgement = session.Judgement{Class: event.RecipientInvalid}
		rcptsAt(&r.mx, "550 5.1.1 no\r\n")
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.acme.example")
		for mail := range 2 {
			group := []string{fmt.Sprintf("MAIL FROM:<a%d@acme.example>", mail)}
			for i := range 70 {
				group = append(group, fmt.Sprintf("RCPT TO:<R%d.%d@example.net>", mail, i))
			}
			msa.Pipeline(append(group, "RSET")...)
		}
		_ = msa.Quit()
		synctest.Wait()
		if len(r.judge.asked) != 140 {
			t.Fatalf("%d refusals were judged", len(r.judge.asked))
		}
		for k, asked := range r.judge.asked {
			mail, i := k/70, k%70
			if want := fmt.Sprintf("r%d.%d@example.net", mail, i); string(asked.Recipient) != want {
				t.Fatalf("judged %q, want %q", asked.Recipient, want)
			}
			if len(asked.Said) != 50 || slices.Contains(asked.Said, string(asked.Sender)) {
				t.Fatalf("mail %d, recipient %d: said %q", mail, i, asked.Said)
			}
			for n, said := range asked.Said {
				if want := fmt.Sprintf("R%d.%d@example.net", mail, n); said != want {
					t.Fatalf("mail %d, recipient %d: said %q, want %q", mail, i, said, want)
				}
			}
		}
	})
}

// Of a transaction with a wordy MX the session log shows the words of the first replies, and the codes of the others: as the records do.
func TestSessionLogOfALongTransactionIsCutAsItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var lines linesKept
		w.engine.Recorder = &lines
		rcptsAt(&w.mx, longReply)
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", addressees(1000, "r"), []byte("text\r\n"), true)
		_ = msa.Quit()
		w.close()
		if len(lines.replies) < 1000 {
			t.Fatalf("%d replies in the session log", len(lines.replies))
		}
		all := 0
		for _, reply := range lines.replies {
			if len(reply.text)+reply.cut < 60_000 {
				t.Fatalf("%d octets of a reply, and %d cut", len(reply.text), reply.cut)
			}
			all += len(reply.text)
		}
		if first := len(lines.replies[0].text); first < 2048 || all > 500<<10 {
			t.Errorf("%d octets of the first reply, %d of all", first, all)
		}
		if last := lines.last; !strings.Contains(last, "2.0.0") && !strings.HasPrefix(last, "250") {
			t.Errorf("the reply to the dot is %q", last)
		}
	})
}

// linesKept are the replies to RCPT in the session log, and the last reply before that to QUIT.
type linesKept struct {
	replies []replyLine
	last    string
}

type replyLine struct {
	text string
	cut  int
}

func (k *linesKept) Record(r *event.Record) {
	defer r.Release()
	for i := range r.Lines {
		l := &r.Lines[i]
		text := string(r.Text(l.Text))
		switch {
		case l.Mark != event.MarkToMSA || strings.HasPrefix(text, "221"):
		case strings.HasPrefix(text, "250-xxx"):
			k.replies = append(k.replies, replyLine{text, l.Text.Cut()})
		default:
			k.last = text
		}
	}
}
