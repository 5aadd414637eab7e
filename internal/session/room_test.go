package session_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A roomRig has a provider that takes only so much.
type roomRig struct {
	*rig
	begun time.Time
	open  time.Duration // since begun: when there is room for a connection
	stay  func(session.DialRequest) session.Stay
	add   func() session.Stay

	heard []string // verbs
}

func newRoomRig() *roomRig {
	r := &roomRig{rig: newRig(), begun: time.Now()}
	r.stay = func(session.DialRequest) (stay session.Stay) { return stay }
	r.add = func() (stay session.Stay) { return stay }
	r.mx.Reply = func(verb string, n int) string {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.heard = append(r.heard, verb)
		return smtptest.Default
	}
	r.engine.Room, r.engine.Mover, r.engine.Dialer = r, nil, r
	return r
}

func (r *roomRig) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	if left := r.open - time.Since(r.begun); left > 0 {
		return session.Outbound{}, full(left, true)
	}
	out, err := r.dial(ctx, req)
	out.SendingIP, out.Name = sendingIPs[0], "out10.example.jp"
	return out, err
}

func (r *roomRig) MayStay(req session.DialRequest, _ netip.Addr) session.Stay { return r.stay(req) }
func (r *roomRig) MayAdd(netip.Addr) session.Stay                             { return r.add() }

func full(wait time.Duration, guess bool) *session.NoRoom {
	return &session.NoRoom{Provider: "orange", Wait: wait, Guess: guess, Note: event.Note{Rule: "shaping of orange: connections", Why: "2 of 2 connections at once"}}
}

// took gives how long a step takes.
func took(step func()) time.Duration {
	begun := time.Now()
	step()
	return time.Since(begun)
}

// law: I12 I13
func TestAnMSAWaitsForRoom(t *testing.T) {
	for name, test := range map[string]struct {
		room             time.Duration // from when there is room for a connection
		banner, mail     time.Duration // how long the MSA waits, at most
		greeter, refusal string
	}{
		"a while at the banner": {room: 5 * time.Second, banner: 6 * time.Second, greeter: "mx.example.net"},
		"a while at MAIL":       {room: 25 * time.Second, banner: 11 * time.Second, mail: 16 * time.Second, greeter: "kanmon"},
		"too long":              {room: time.Hour, banner: 11 * time.Second, mail: 31 * time.Second, greeter: "kanmon", refusal: "451 4.4.5 kanmon: orange takes no more from this gateway at present; your mail stays queued; try again in "},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			r := newRoomRig()
			r.open = test.room
			msa := r.msa(t)
			if got := took(func() {
				if banner := msa.Expect(220); !strings.Contains(banner.String(), test.greeter) {
					t.Errorf("banner %q", banner.String())
				}
			}); got > test.banner || got < min(test.room, 9*time.Second) {
				t.Errorf("the banner took %s", got)
			}
			msa.Command("EHLO msa.example.com")
			var reply smtptest.Reply
			if got := took(func() { reply = msa.Command("MAIL FROM:<a@example.com>") }); got > test.mail {
				t.Errorf("MAIL took %s", got)
			}
			if want := test.refusal; want != "" && !strings.HasPrefix(reply.String(), want) || want == "" && reply.Code != 250 {
				t.Errorf("MAIL: %q", reply.String())
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
			synctest.Wait()
			if (r.dials() == 1) != (test.refusal == "") {
				t.Errorf("%d dials", r.dials())
			}
		}))
	}
}

func TestWhatCannotBeWaitedForIsToldAtOnce(t *testing.T) {
	bubble(func(t *testing.T) {
		r := newRoomRig()
		asked := 0
		r.stay = func(session.DialRequest) (stay session.Stay) {
			if asked++; asked == 1 {
				stay.Full = full(31*time.Second, false)
			}
			return stay
		}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		if got := took(func() {
			if reply := msa.Command("MAIL FROM:<a@example.com>"); !strings.HasSuffix(reply.String(), "try again in 31s") || reply.Code != 451 {
				t.Errorf("MAIL: %q", reply.String())
			}
		}); got > time.Second {
			t.Errorf("it took %s", got)
		}
		if slices.Contains(r.heard, "MAIL") {
			t.Error("the MX was bothered")
		}
		if reply := msa.Command("MAIL FROM:<a@example.com>"); reply.Code != 250 {
			t.Errorf("the next mail: %q", reply.String())
		}
		finishSession(msa)
	})(t)
}

func TestAMailThatStaysWaitsWhereItIs(t *testing.T) {
	bubble(func(t *testing.T) {
		r := newRoomRig()
		asked := 0
		r.stay = func(session.DialRequest) (stay session.Stay) {
			if asked++; asked == 1 {
				stay.Full = full(20*time.Second, false)
			}
			return stay
		}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		if got := took(func() {
			if reply := msa.Command("MAIL FROM:<a@example.com>"); reply.Code != 250 {
				t.Errorf("MAIL: %q", reply.String())
			}
		}); got < 20*time.Second || got > 21*time.Second {
			t.Errorf("it took %s", got)
		}
		finishSession(msa)
	})(t)
}

// A connection that has carried what one may carry is left with QUIT before the next one begins, and no mail is lost or doubled.
//
// law: I11
func TestAConnectionFollowsAnotherFromTheSameIP(t *testing.T) {
	for _, pipelined := range []bool{true, false} {
		bubble(func(t *testing.T) {
			r := newRoomRig()
			mails := 0
			r.stay = func(req session.DialRequest) (stay session.Stay) {
				if req.Recipient != "" {
					return stay
				}
				if mails++; mails > 2 {
					mails, stay.Moves, stay.Anew = 1, true, true
				}
				return stay
			}
			msa := r.msa(t)
			for i := range 5 {
				if got := msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net"}, []byte("text\r\n"), pipelined); !got.All(smtptest.Accepted) {
					t.Errorf("mail %d: %v %v", i, got.Verdicts, got.Err)
				}
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := len(r.mx.Mailbox.Transactions()); got != 5 || r.dials() != 3 {
				t.Errorf("%d mails, %d connections", got, r.dials())
			}
			mailsHeard, quits := 0, 0
			for _, verb := range r.heard {
				switch verb {
				case "MAIL":
					mailsHeard++
				case "QUIT":
					quits++
				case "BANNER":
					if quits != mailsHeard/2 {
						t.Errorf("a connection begins before the one before it is over: %v", r.heard)
					}
				}
			}
		})(t)
	}
}

// What the MX takes to let a connection follow is the time of opening it, and not kanmon's own.
func TestTheTimeOfAConnectionThatFollowsIsThatOfOpeningIt(t *testing.T) {
	bubble(func(t *testing.T) {
		r := newRoomRig()
		mails, dials := 0, 0
		r.stay = func(req session.DialRequest) (stay session.Stay) {
			if req.Recipient == "" {
				mails++
				stay.Moves, stay.Anew = mails == 2, mails == 2
			}
			return stay
		}
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			if dials++; dials == 2 {
				time.Sleep(5 * time.Second)
			}
			return r.Dial(ctx, req)
		})
		var spent []event.Spent
		r.engine.Recorder = recorderOf(func(rec *event.Record) {
			if rec.Transaction != nil {
				spent = append(spent, rec.Spent)
			}
			rec.Release()
		})
		msa := r.msa(t)
		for range 2 {
			msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
		}
		finishSession(msa)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(spent) != 2 || spent[1][event.SpentOpening] < 5*time.Second || spent[1][event.SpentByKanmon] > time.Second {
			t.Errorf("spent %v", spent)
		}
	})(t)
}

func TestAConnectionThatCannotFollowCostsOneMail(t *testing.T) {
	bubble(func(t *testing.T) {
		r := newRoomRig()
		mails := 0
		r.stay = func(req session.DialRequest) (stay session.Stay) {
			if req.Recipient == "" {
				if mails++; mails == 2 {
					r.open = time.Since(r.begun) + time.Minute
					stay.Moves, stay.Anew = true, true
				}
			}
			return stay
		}
		msa := r.msa(t)
		var verdicts []smtptest.Verdict
		for range 3 {
			got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
			verdicts = append(verdicts, got.Verdicts...)
			time.Sleep(time.Minute)
		}
		_ = msa.Quit()
		if want := []smtptest.Verdict{smtptest.Accepted, smtptest.Deferred, smtptest.Accepted}; !slices.Equal(verdicts, want) {
			t.Errorf("verdicts %v", verdicts)
		}
		finishSession(msa)
	})(t)
}

// law: B8
func TestRecipientsBeyondWhatIsTakenComeWithAnotherMail(t *testing.T) {
	bubble(func(t *testing.T) {
		r := newRoomRig()
		said := 0
		r.add = func() (stay session.Stay) {
			if said++; said > 2 {
				stay.Full = &session.NoRoom{Provider: "docomo", Ends: true}
			}
			return stay
		}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		replies := msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>", "RCPT TO:<d@example.net>", "DATA")
		var codes []int
		for _, reply := range replies {
			codes = append(codes, reply.Code)
		}
		if want := []int{250, 250, 250, 452, 354}; !slices.Equal(codes, want) || !strings.HasPrefix(replies[3].String(), "452 4.5.3 kanmon: ") {
			t.Errorf("%d: %q", codes, replies[3].String())
		}
		if reply := msa.Command("text\r\n."); reply.Code != 250 {
			t.Errorf("the message: %q", reply.String())
		}
		finishSession(msa)
	})(t)
}
