package session_test

import (
	"context"
	"fmt"
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

// A pace is how another connection to the MX fares.
type pace string

const (
	never      pace = "none"
	quick      pace = "quick"
	slow       pace = "slow"       // 50 seconds until it takes commands
	silent     pace = "silent"     // no banner
	unanswered pace = "unanswered" // no connection
)

// A budget is all that kanmon may do behind the commands of one mail, each of which takes time.
type budget struct {
	moveMail, moveRcpt pace
	refusedAt          string // where the MX has listed our IP; "": nowhere
	rescue             pace
	delayed            event.Step // what the gate holds back for as long as it may; noStep: nothing
	noTLS              string     // what the MX says to the STARTTLS that it offers; "none": it does not offer it
	reply              time.Duration
	pipelined          bool
}

const noStep = event.StepOver

func budgets() (all []budget) {
	paces := []pace{never, quick, slow, silent, unanswered}
	for _, moveMail := range paces {
		for _, moveRcpt := range paces {
			for _, refusedAt := range []string{"", "MAIL", "RCPT", "DATA", "."} {
				rescues := paces[1:]
				if refusedAt == "" {
					rescues = paces[:1]
				}
				for _, rescue := range rescues {
					for _, delayed := range []event.Step{noStep, event.StepMail, event.StepLeave, event.StepRecipient} {
						for _, noTLS := range []string{"none", "454 4.7.0 not now\r\n", ""} {
							for _, reply := range []time.Duration{0, 50 * time.Second, 115 * time.Second, 290 * time.Second} {
								for _, pipelined := range []bool{true, false} {
									all = append(all, budget{moveMail, moveRcpt, refusedAt, rescue, delayed, noTLS, reply, pipelined})
								}
							}
						}
					}
				}
			}
		}
	}
	return all
}

func (b budget) String() string {
	return fmt.Sprintf("move at MAIL %s, at RCPT %s, refused at %q and rescued %s, delayed at %s, STARTTLS %.3q, replies %s, pipelined %t",
		b.moveMail, b.moveRcpt, b.refusedAt, b.rescue, b.delayed, b.noTLS, b.reply, b.pipelined)
}

// bound is how long a reply may take by the law.
func (b budget) bound(verb string) time.Duration {
	hidden := b.refusedAt == verb && b.reply < time.Minute // else the refusal comes too late for anything to be tried
	switch verb {
	case "DATA":
		if hidden {
			return 100 * time.Second
		}
		return 2 * time.Minute
	case "EHLO":
		hidden = b.noTLS != "none"
	case ".":
		return 16 * time.Minute // a minute until another connection is there, and its phase's time
	case "MAIL":
		hidden = hidden || b.moveMail != never || b.delayed == event.StepMail || b.delayed == event.StepLeave ||
			b.pipelined && (b.moveRcpt != never || b.delayed == event.StepRecipient)
	case "RCPT":
		hidden = hidden || !b.pipelined && (b.moveRcpt != never || b.delayed == event.StepRecipient)
	}
	if hidden {
		return 4 * time.Minute
	}
	return 5 * time.Minute
}

// A budgetRig has three pools of two sending IPs: for whoever comes, for senders of their own, for recipients of their own. The
// second IP of each is for rescues.
type budgetRig struct {
	*manyIPs
	budget
	longest map[string]time.Duration // that a reply took, by verb
	wrong   []string
}

func newBudgetRig(b budget) *budgetRig {
	r := &budgetRig{manyIPs: newManyIPs(6), budget: b, longest: make(map[string]time.Duration)}
	r.engine.Dialer, r.engine.Mover = dialFunc(r.dial), r
	r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == b.delayed && !q.Instead }, session.Decision{Delay: time.Hour})
	for i, mx := range r.mxs {
		if b.noTLS != "none" {
			mx.Keywords = append(smtptest.DefaultKeywords(), "STARTTLS")
		}
		mx.Reply = func(verb string, _ int) string { return r.answer(i, verb) }
	}
	return r
}

func (r *budgetRig) pool(req session.DialRequest) []int {
	switch {
	case r.moveRcpt != never && strings.HasSuffix(req.Recipient, "@other.example"):
		return []int{2, 5}
	case r.moveMail != never && req.SenderKnown:
		return []int{1, 4}
	default:
		return []int{0, 3}
	}
}

// pace is that of the connections from a sending IP.
func (r *budgetRig) pace(ip int) pace {
	return []pace{quick, r.moveMail, r.moveRcpt, r.rescue, r.rescue, r.rescue}[ip]
}

func (r *budgetRig) answer(ip int, verb string) string {
	switch verb {
	case "STARTTLS":
		return r.noTLS
	case "BANNER", "EHLO":
		switch r.pace(ip) {
		case silent:
			return ""
		case slow:
			return smtptest.Delay(25*time.Second) + smtptest.Default
		}
	case "MAIL", "RCPT", "DATA", ".":
		late := smtptest.Delay(r.reply)
		if verb == r.refusedAt && ip < 3 {
			return late + listed
		}
		return late + smtptest.Default
	}
	return smtptest.Default
}

func (r *budgetRig) MayStay(req session.DialRequest, ip netip.Addr) bool {
	return slices.Contains(r.pool(req), int(ip.As4()[3])-10)
}

func (r *budgetRig) dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	for _, i := range r.pool(req) {
		ip := netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)})
		if slices.Contains(req.Avoid, ip) {
			continue
		}
		if r.pace(i) == unanswered {
			<-ctx.Done()
			return session.Outbound{SendingIP: ip}, ctx.Err()
		}
		proxy, far := smtptest.Pair(netip.AddrPortFrom(ip, 50000), mxAddr)
		go r.mxs[i].ServeConn(far)
		return session.Outbound{Conn: proxy, SendingIP: ip, Name: "out.example.jp"}, nil
	}
	return session.Outbound{}, session.ErrNoOtherIP
}

func (r *budgetRig) fails(format string, args ...any) {
	r.wrong = append(r.wrong, r.String()+": "+fmt.Sprintf(format, args...))
}

// say sends commands, in one write or one by one, and gives the replies as far as they come in time.
func (r *budgetRig) say(msa *smtptest.MSA, lines ...string) (replies []smtptest.Reply) {
	begun := time.Now()
	if r.pipelined {
		msa.Send(lines...)
	}
	for _, line := range lines {
		if !r.pipelined {
			begun = time.Now()
			msa.Send(line)
		}
		reply, err := msa.Next()
		took := time.Since(begun)
		verb, _, _ := strings.Cut(line, " ")
		if verb == "text\r\n." {
			verb = "."
		}
		r.longest[verb] = max(took, r.longest[verb])
		if bound := r.bound(verb); took > bound || err != nil {
			r.fails("%s: %s, %v after %s, allowed %s", verb, reply, err, took, bound)
		}
		if err != nil {
			return replies
		}
		replies = append(replies, reply)
		if reply.Class() == 5 && reply.Code != 503 || reply.Code == 421 || !r.pipelined && reply.Class() > 3 {
			return replies
		}
		begun = time.Now()
	}
	return replies
}

// Whatever adds up behind a command of the MSA, in whichever order: moves to another sending IP, a rescue, what the gate holds back,
// connections anew for want of TLS, an MX that takes its time. The MSA never waits longer for a reply than the law allows for that
// command, hears a 4xx where the time is over, and no message is acknowledged that was not taken, nor taken twice.
//
// law: I12 I1
func TestFaultTimeBudgetsAddUp(t *testing.T) {
	all := budgets()
	step := 37 // a sample of every value beside every other
	if inFull() {
		step = 1
	}
	runs, accepted, longest := 0, 0, make(map[string]time.Duration)
	var wrong []string
	for i := 0; i < len(all); i += step {
		synctest.Test(t, func(t *testing.T) {
			r := newBudgetRig(all[i])
			runs++
			if r.deliver(t) {
				accepted++
			}
			wrong = append(wrong, r.wrong...)
			for verb, took := range r.longest {
				longest[verb] = max(took, longest[verb])
			}
		})
	}
	t.Logf("%d of %d combinations: %d mails delivered, longest replies %v", runs, len(all), accepted, longest)
	if accepted == 0 || accepted == runs {
		t.Error("a table that shows nothing")
	}
	if len(wrong) > 0 {
		t.Errorf("%d wrong:\n%s", len(wrong), strings.Join(wrong[:min(10, len(wrong))], "\n"))
	}
}

// deliver says a mail and looks at what has become of it.
func (r *budgetRig) deliver(t *testing.T) (accepted bool) {
	msa := r.msa(t)
	msa.Wait = time.Hour
	msa.Expect(220)
	r.say(msa, "EHLO msa.example.com")
	replies := r.say(msa, "MAIL FROM:<a@example.com>", "RCPT TO:<b@other.example>", "RCPT TO:<c@other.example>", "DATA")
	if len(replies) == 4 && replies[3].Code == 354 {
		replies = r.say(msa, "text\r\n.")
	}
	last := smtptest.Reply{}
	if len(replies) > 0 {
		last = replies[len(replies)-1]
	}
	finishSession(msa)
	delivered := 0
	for _, mx := range r.mxs {
		delivered += mx.Mailbox.Len()
	}
	accepted = len(replies) == 1 && last.Class() == 2
	switch {
	case accepted != (delivered == 1) || delivered > 1:
		r.fails("the MSA was told %s, %d delivered", last, delivered)
	case last.Class() == 5 && last.Code != 503:
		r.fails("bounced: %s", last)
	}
	return accepted
}

// Commands that are sent ahead of each other wait together: as many senders as fit into a group, each of which has an IP of its own that
// cannot reach the MX, do not make the first reply come later than the law allows. What was not tried for want of time is no evidence.
//
// law: I12
func TestMovesOfOneGroupShareItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBudgetRig(budget{moveMail: quick, moveRcpt: never, delayed: noStep, noTLS: "none"})
		moves := 0
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			if !req.SenderKnown {
				return r.dial(ctx, req)
			}
			moves++
			<-ctx.Done()
			return session.Outbound{SendingIP: netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + moves)})}, ctx.Err()
		})
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		for range 2 { // the next group has time of its own
			synctest.Wait()
			moves, r.judge.asked = 0, nil
			begun := time.Now()
			for i, reply := range msa.Pipeline(slices.Repeat([]string{"MAIL FROM:<a@example.com>"}, 8)...) {
				if reply.Code != 451 {
					t.Errorf("MAIL %d: %s", i+1, reply)
				}
			}
			synctest.Wait()
			if took := time.Since(begun); took > 4*time.Minute || moves < 4 || len(r.judge.asked) > moves {
				t.Errorf("replies after %s, %d dials, %d judged", took, moves, len(r.judge.asked))
			}
		}
		finishSession(msa)
	})
}

// However an MX makes kanmon connect anew behind one EHLO or HELO of the MSA: late, for want of TLS, because it drops EHLO, with a late
// banner. The answer comes while the MSA waits.
//
// law: I12 S2/MX-silent
func TestWhatIsHiddenBehindOneHello(t *testing.T) {
	late := []time.Duration{0, 100 * time.Second, 235 * time.Second, 265 * time.Second, 289 * time.Second}
	answered, longest := 0, time.Duration(0)
	for _, verb := range []string{"EHLO", "HELO"} {
		for _, first := range late {
			for _, second := range late {
				for toEHLO, then := range map[string]string{
					"no TLS":   "454 4.7.0 not now\r\n",
					"TLS lost": smtptest.CloseConn,
					"silent":   "",
					"refused":  "500 5.5.1 what?\r\n",
					"dropped":  smtptest.CloseConn,
				} {
					for _, slow := range []string{"BANNER", "HELO", "EHLO"} {
						synctest.Test(t, func(t *testing.T) {
							r := newBehindHello(toEHLO, then, slow, first, second)
							msa := r.msa(t)
							msa.Wait = time.Hour
							msa.Expect(220)
							begun := time.Now()
							reply := msa.Command(verb + " msa.example.com")
							took := time.Since(begun)
							longest = max(longest, took)
							if took > 5*time.Minute || reply.Class() == 5 && toEHLO != "refused" {
								t.Errorf("%s, %s, then %s of the next after %s: %s after %s", verb, toEHLO, slow, second, reply, took)
							}
							if reply.Class() == 2 {
								answered++
							}
							finishSession(msa)
						})
					}
				}
			}
		}
	}
	t.Logf("%d answered, longest %s", answered, longest)
	if answered == 0 {
		t.Error("a table that shows nothing")
	}
}

// newBehindHello has an MX that answers EHLO after a time, and does something else then. The connection behind that is slow at one step.
func newBehindHello(toEHLO, then, slow string, first, second time.Duration) *oldMX {
	r := newOldMX(func(verb string, _ int) string {
		switch {
		case verb == "STARTTLS":
			return then
		case verb == "HELO":
			return smtptest.Delay(second) + smtptest.Default
		case verb != "EHLO":
			return smtptest.Default
		case toEHLO == "refused" || toEHLO == "dropped":
			return smtptest.Delay(first) + then
		default:
			return smtptest.Delay(first) + "250-mx.example.net\r\n250 STARTTLS\r\n"
		}
	}, always(slow, smtptest.Delay(second)+smtptest.Default))
	return r
}
