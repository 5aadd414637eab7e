package session_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// A refusalStage is where an MX refuses the first sending IP.
type refusalStage struct {
	name, verb string
	number     func(recipients int) int // which command of its verb
}

// early says that the MSA has not been told of anything that the MX accepted of the mail.
func (s refusalStage) early() bool { return s.verb == "BANNER" || s.verb == "EHLO" || s.verb == "MAIL" }

func first(int) int { return 1 }

var refusalStages = []refusalStage{
	{"banner", "BANNER", first},
	{"EHLO", "EHLO", first},
	{"MAIL", "MAIL", first},
	{"first RCPT", "RCPT", first},
	{"last RCPT", "RCPT", func(recipients int) int { return recipients }},
	{"DATA", "DATA", first},
	{"dot", ".", first},
}

// A replayCourse is how the second sending IP fares.
type replayCourse struct {
	name  string
	works bool
	set   func(mx *smtptest.MX, stage refusalStage, recipients int)
}

var replayCourses = []replayCourse{
	{"ok", true, func(*smtptest.MX, refusalStage, int) {}},
	{"different", false, func(mx *smtptest.MX, _ refusalStage, _ int) {
		mx.Reply = refuseAt("MAIL", 1, "550 5.1.8 sender unknown here\r\n")
	}},
	{"worse", false, func(mx *smtptest.MX, _ refusalStage, _ int) {
		mx.Reply = refuseAt("BANNER", 1, "554 5.7.1 this one is listed, too\r\n"+smtptest.CloseConn)
	}},
	{"fewer capabilities", false, func(mx *smtptest.MX, _ refusalStage, _ int) {
		mx.Keywords = []string{"PIPELINING", "SIZE 52428800", "ENHANCEDSTATUSCODES"}
		mx.KeywordsTLS = mx.Keywords
	}},
}

func refuseAt(verb string, number int, reply string) func(string, int) string {
	return func(v string, n int) string {
		if v == verb && n == number {
			return reply
		}
		return smtptest.Default
	}
}

// Wherever the refusal comes, and however the replay goes: no mail is lost or doubled, the MX that gets the mail has accepted
// exactly the recipients that the MSA was told of, and it offers what the MSA was promised.
//
// law: I3 I5 I9 I10 S1/replay S2/replay S3/replay S4/replay S5/replay S7/replay
func TestRescue(t *testing.T) {
	runs := 100
	if raceDetector {
		runs = 10
	}
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	rescued, softened, failed := 0, 0, 0
	for _, stage := range refusalStages {
		for _, on := range []bool{true, false} {
			for _, course := range replayCourses {
				for n := range runs {
					synctest.Test(t, func(t *testing.T) {
						name := fmt.Sprintf("%s, rescue %t, replay %s, run %d", stage.name, on, course.name, n)
						got := rescueOnce(t, name, stage, on, course, rand.New(rand.NewPCG(7, uint64(n))), cert)
						switch got {
						case "rescued":
							rescued++
						case "softened":
							softened++
						default:
							failed++
						}
					})
				}
			}
		}
	}
	t.Logf("%d runs in %d cells: %d rescued, %d softened, lost 0, duplicated 0", rescued+softened+failed, 56, rescued, softened)
	if failed > 0 {
		t.Errorf("%d runs were neither", failed)
	}
}

func rescueOnce(t *testing.T, name string, stage refusalStage, on bool, course replayCourse, random *rand.Rand, cert tls.Certificate) string {
	r := newManyIPs(2)
	if !on {
		r.judge.Rescue = false
	}
	recipients := random.IntN(4) + 2
	refusal := "550 5.7.1 203.0.113.10 is listed\r\n"
	if random.IntN(3) == 0 {
		refusal = "550-5.7.1 Service unavailable\r\n550-5.7.1 203.0.113.10 is listed\r\n550 5.7.1 see the web\r\n"
	}
	if stage.verb == "BANNER" && random.IntN(2) == 0 {
		refusal += smtptest.CloseConn
	}
	r.mx.Reply = refuseAt(stage.verb, stage.number(recipients), refusal)
	encrypted := random.IntN(2) == 0
	if encrypted {
		r.mx.TLS, r.mxs[1].TLS = newTLSServer(cert), newTLSServer(cert)
	}
	course.set(r.mxs[1], stage, recipients)
	msa := r.msa(t)
	var to []string
	for i := range recipients {
		to = append(to, fmt.Sprintf("rcpt%d@example.net", i))
	}
	body := bytes.Repeat([]byte("0123456789\r\n"), random.IntN(2000)+1)
	got := msa.Deliver("a@example.com", to, body, random.IntN(2) == 0)
	_ = msa.Quit()
	time.Sleep(time.Hour)
	synctest.Wait()
	if leftovers := r.live.Count(); leftovers != 0 {
		t.Errorf("%s: %d sessions are still there", name, leftovers)
	}

	delivered := append(r.mx.Mailbox.Transactions(), r.mxs[1].Mailbox.Transactions()...)
	var accepted []string
	for i, v := range got.Verdicts {
		switch v {
		case smtptest.Accepted:
			accepted = append(accepted, to[i])
		case smtptest.Bounced:
			if on && course.name == "different" && stage.early() && got.Replies[i].Code == 550 && r.mxs[1].Mailbox.Len() == 0 {
				continue // nothing had been told to the MSA: it is the other IP's own answer
			}
			t.Errorf("%s: %s bounced: %s", name, to[i], got.Replies[i])
		}
	}
	switch {
	case len(accepted) > 0 && len(delivered) != 1, len(accepted) == 0 && len(delivered) > 0:
		t.Errorf("%s: %d recipients accepted, %d messages delivered", name, len(accepted), len(delivered))
	case len(delivered) == 1 && !slices.Equal(accepted, delivered[0].Recipients):
		t.Errorf("%s: the MSA was told of %q, the MX accepted %q", name, accepted, delivered[0].Recipients)
	case len(delivered) == 1 && delivered[0].TLS != encrypted:
		t.Errorf("%s: delivered with TLS %t, offered %t", name, delivered[0].TLS, encrypted)
	case len(delivered) == 1 && !bytes.Equal(delivered[0].Body, body):
		t.Errorf("%s: the body has changed", name)
	}
	works := on && (course.works || course.name == "fewer capabilities" && (stage.verb == "BANNER" || stage.verb == "EHLO"))
	switch {
	case works && len(accepted) == recipients && r.mxs[1].Mailbox.Len() == 1:
		return "rescued"
	case !works && r.mxs[1].Mailbox.Len() == 0 && (stage.verb == "RCPT" || len(accepted) == 0):
		return "softened"
	}
	t.Errorf("%s: %v, %v, %d and %d delivered; dialled %v", name, got.Verdicts, got.Replies, r.mx.Mailbox.Len(), r.mxs[1].Mailbox.Len(), r.dialed)
	return ""
}

// A body that was larger than what is kept is not sent again: the refusal is softened.
//
// law: I3
func TestNoRescueOfALargeMessage(t *testing.T) {
	for size, want := range map[int]bool{1000: true, 100_000: false} {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(2)
			r.engine.Rescue.BodyBytes = 50_000
			r.mx.Reply = refuseAt(".", 1, "550 5.7.1 203.0.113.10 is listed\r\n")
			msa := r.msa(t)
			got := msa.Deliver("a@example.com", []string{"b@example.net"}, bytes.Repeat([]byte("x\r\n"), size/3), true)
			_ = msa.Quit()
			synctest.Wait()
			if got.All(smtptest.Accepted) != want || !want && got.Replies[0].Code != 450 {
				t.Errorf("%d octets: %v %v", size, got.Verdicts, got.Replies)
			}
		})
	}
}

// Another MX leg that is slow is given up while the MSA still waits, and the refusal goes to it.
//
// law: I12
func TestRescueIsBoundedInTime(t *testing.T) {
	for verb, limit := range map[string]time.Duration{"BANNER": 25 * time.Second, "RCPT": 95 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(2)
			r.mx.Reply = refuseAt(verb, 1, "550 5.7.1 listed\r\n")
			r.mxs[1].Reply = func(string, int) string { return smtptest.Delay(time.Hour) + smtptest.Default }
			begun := time.Now()
			msa := r.msa(t)
			got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
			if took := time.Since(begun); took > limit || !got.All(smtptest.Deferred) {
				t.Errorf("%s: %v after %s", verb, got.Verdicts, took)
			}
			_ = msa.Conn().Close()
			time.Sleep(3 * time.Hour)
		})
	}
}

// The judge hears of each refusal with what it is about, and of each message that was taken.
func TestJudgeIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mx.Reply = refuseAt("RCPT", 2, "550 5.7.1 listed\r\n")
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net"}, []byte("text\r\n"), true)
		_ = msa.Quit()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(r.judge.asked) != 1 {
			t.Fatalf("asked %d times", len(r.judge.asked))
		}
		got := r.judge.asked[0]
		if got.SendingIP != sendingIPs[0] || got.Phase != event.PhaseRcpt || got.Code != 550 ||
			string(got.Text) != "550 5.7.1 listed" || string(got.Sender) != "a@example.com" || string(got.Recipient) != "c@example.net" {
			t.Errorf("asked about %+v", got)
		}
		if !slices.Equal(r.judge.accepted, sendingIPs[1:]) {
			t.Errorf("told of messages taken from %v", r.judge.accepted)
		}
	})
}
