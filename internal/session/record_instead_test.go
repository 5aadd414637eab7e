package session_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// Where the session's last word comes in place of a reply that kanmon was about to give, that word is on record for its command.
func TestTheLastWordIsOnRecordInPlaceOfAReply(t *testing.T) {
	var heard []string
	c := recordedFromConnect(t, func(r *manyIPs) {
		r.engine.Judge = indifferent{}
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "BANNER" {
				return "550 5.1.1 no\r\n"
			}
			return smtptest.Default
		}
	}, func(msa *smtptest.MSA) {
		msa.Expect(550)
		lines := []string{"EHLO msa.example.com", "MAIL FROM:<a@x>"}
		for i := range 30 {
			lines = append(lines, fmt.Sprintf("RCPT TO:<r%d@x>", i))
		}
		msa.Send(lines...)
		heard = codes(msa)
	})
	want := append(slices.Repeat([]string{"503"}, 20), "421")
	if !slices.Equal(heard, want) || len(c.trans) != 1 {
		t.Fatalf("heard %v, %d mails on record", heard, len(c.trans))
	}
	for i, p := range c.trans[0].Recipients {
		if got := fmt.Sprint(p.Reply.Code); i+2 >= len(heard) || got != heard[i+2] || fmt.Sprint(p.Reply.Told) != heard[i+2] {
			t.Errorf("recipient %d has heard %v: on record %s, told %d", i, heard[min(i+2, len(heard)-1)], got, p.Reply.Told)
		}
	}
}

// A mail that was refused here is on record with what the MSA was told, also where the session ends within what it has sent in one piece.
func TestAGroupOfRefusedMailsIsOnRecordAsItWasTold(t *testing.T) {
	var heard []string
	c := recorded(t, func(r *manyIPs) { r.engine.Gate = limited("a@x") }, func(msa *smtptest.MSA) {
		_, _ = msa.Conn().Write([]byte(strings.Repeat("JUNK\r\n", 20) + "MAIL FROM:<a@x>\r\nMAIL FROM:<\xff@x>\r\n"))
		heard = codes(msa)
	})
	var told []string
	for _, mail := range c.trans {
		told = append(told, fmt.Sprint(mail.Mail.Told))
		if int(mail.Mail.Told) != mail.Mail.Code {
			t.Errorf("%d on record, told %d", mail.Mail.Code, mail.Mail.Told)
		}
	}
	if want := []string{"451", "421"}; !slices.Equal(heard[min(20, len(heard)):], want) || !slices.Equal(told, want) {
		t.Errorf("heard %v, told %v, want %v", heard, told, want)
	}
}

// The command that is one too many goes to no MX, not even with those before it when they are said again through another sending IP.
func TestOneCommandTooManyIsSaidToNoMX(t *testing.T) {
	for _, rescued := range []bool{false, true} {
		var rig *manyIPs
		recorded(t, func(r *manyIPs) {
			rig, r.engine.Limits.IdleCommands = r, 1
			if rescued {
				r.mx.Reply = always("RCPT", listed)
			}
		}, func(msa *smtptest.MSA) {
			_, _ = msa.Conn().Write([]byte("MAIL FROM:<a@x>\r\nRCPT TO:<r@x>\r\nNOOP\r\n"))
			if got := codes(msa); !slices.Equal(got, []string{"250", "250", "421"}) {
				t.Errorf("rescued %t: heard %v", rescued, got)
			}
		})
		mx := rig.mxs[map[bool]int{true: 1}[rescued]]
		if got := strings.Join(verbs(mx.Mailbox.Commands()), " "); got != "EHLO MAIL RCPT QUIT" {
			t.Errorf("rescued %t: the MX heard %q", rescued, got)
		}
	}
}

// Where a refusal was about to be rescued when kanmon stopped, the MSA was told 421: the mail is in its queue.
func TestWhoWasToldSomethingElseIsNotRefused(t *testing.T) {
	for verb, want := range map[string]string{
		"MAIL": "a@x deferred",
		"RCPT": "a@x deferred; r@x deferred told 421 by kanmon",
		"DATA": "a@x deferred; r@x deferred told 421 by kanmon",
		".":    "a@x deferred; r@x deferred told 421 by kanmon",
	} {
		c := recorded(t, func(r *manyIPs) {
			r.mx.Reply = refuseAt(verb, 1, listed)
			r.mxs[1].Reply = lateReply("BANNER", 20*time.Second)
			time.AfterFunc(5*time.Second, func() {
				now, cancel := context.WithCancel(context.Background())
				cancel()
				_ = r.live.Drain(now)
			})
		}, func(msa *smtptest.MSA) {
			for _, line := range []string{"MAIL FROM:<a@x>", "RCPT TO:<r@x>", "DATA", "."} {
				if line == "." {
					msa.Send("text")
				}
				if msa.Send(line); strings.HasPrefix(line, verb) {
					break
				}
				_, _ = msa.Next()
			}
			if got := codes(msa); !slices.Equal(got, []string{"421"}) {
				t.Errorf("refused at %s: heard %v", verb, got)
			}
		})
		c.wants(t, want)
	}
}

// codes gives the codes of all replies that are to come.
func codes(msa *smtptest.MSA) (heard []string) {
	for {
		reply, err := msa.Next()
		if err != nil {
			return heard
		}
		heard = append(heard, fmt.Sprint(reply.Code))
	}
}
