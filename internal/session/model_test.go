package session_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// modelSessions is how many random sessions a run takes.
func modelSessions() int {
	switch {
	case inFull():
		return 1_000_000
	case raceDetector:
		return 2_000 // it takes ten times as long
	default:
		return 100_000
	}
}

// Random sessions against a model. An MSA pipelines, in groups and across its bodies, commands good and bad, several
// transactions a session; an MX answers as it likes, in multi-line replies that each hold a token of their own; all four
// streams are read in random pieces. The model says which command must get which reply, and which octets must have arrived.
//
// law: I1 I2 I4 I5 I6 I7 I9 I16 B1 B2 B4 B5 B6 B9 B10 B18 K-PIPELINING K-unknown K-HELO
func TestModelOfPipelinedSessions(t *testing.T) {
	const perBubble = 250
	workers := 2
	bubbles := modelSessions() / perBubble / workers
	var tally modelTally
	begun := time.Now()
	t.Run("worker", func(t *testing.T) {
		for w := range workers {
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				t.Parallel()
				for b := range bubbles {
					first := uint64(w*bubbles+b) * perBubble
					synctest.Test(t, func(t *testing.T) {
						for seed := first; seed < first+perBubble && !t.Failed(); seed++ {
							runModel(t, seed, &tally)
						}
					})
					if t.Failed() {
						return
					}
				}
			})
		}
	})
	t.Logf("%d sessions in %s: %d commands (%d answered by kanmon), %d bodies accepted, %d given up; desynchronised 0",
		tally.sessions.Load(), time.Since(begun).Round(time.Second), tally.commands.Load(), tally.local.Load(), tally.bodies.Load(), tally.dropped.Load())
	if tally.bodies.Load() == 0 || tally.local.Load() == 0 || tally.dropped.Load() == 0 {
		t.Error("the sessions did not reach what they are to show")
	}
}

// FuzzModelSeed runs one random session: for seeds beyond those of the test, and to look at one that failed.
func FuzzModelSeed(f *testing.F) {
	f.Add(uint64(1) << 32)
	var tally modelTally
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) { runModel(t, seed, &tally) })
	})
}

type modelTally struct {
	sessions, commands, local, bodies, dropped atomic.Int64
}

// runModel is one session.
func runModel(t *testing.T, seed uint64, tally *modelTally) {
	random := rand.New(rand.NewPCG(seed, 1))
	mx := &modelMX{random: rand.New(rand.NewPCG(seed, 2))}
	fromMX, toMX := pieces(random), pieces(random)
	r := newRig()
	r.engine.Limits = session.Limits{BadCommands: 1000, IdleCommands: 1000}
	r.engine.Dialer = dialOnceTo(func(proxy, far *smtptest.Conn) {
		proxy.Chunk(fromMX...)
		far.Chunk(toMX...)
		go mx.serve(far)
	})
	conn, proxy, ended := r.connect()
	conn.Chunk(pieces(random)...)
	proxy.Chunk(pieces(random)...)

	msa := &modelMSA{random: random, conn: conn, in: bufio.NewReader(conn)}
	msa.converse()
	_ = conn.Close()
	<-ended
	synctest.Wait()
	own, err := judgeModel(msa, mx)
	if err != nil {
		t.Errorf("seed %d: %v\nMSA said and heard:\n%sMX heard and said:\n%s", seed, err, msa, mx)
	}
	tally.sessions.Add(1)
	tally.commands.Add(int64(len(msa.talk)))
	tally.local.Add(int64(own))
	tally.bodies.Add(int64(len(mx.accepted())))
	tally.dropped.Add(int64(msa.smuggled))
}

// judgeModel compares what the MSA heard with what the MX said, command by command in order, and counts kanmon's own replies.
func judgeModel(msa *modelMSA, mx *modelMX) (own int, err error) {
	m := model{said: mx.talk}
	for _, s := range msa.talk {
		if s.reply == "" {
			break // the connection has ended: what the MX got beyond has no reply
		}
		if m.over {
			return m.own, fmt.Errorf("%q was answered behind the end: %q", s.line, s.reply)
		}
		if err := m.next(s); err != nil {
			return m.own, err
		}
	}
	return m.own, judgeBodies(msa, mx)
}

// A model is what kanmon must know at each command.
type model struct {
	said    []said // what the MX has heard and said from here on
	hello   string // the MX's reply to EHLO; "" before
	refused bool   // with the banner
	over    bool
	tx      modelTransaction
	old     modelHELO
	own     int
}

func (m *model) next(s said) error {
	code := ownReply(s, m.hello != "", m.refused)
	if code == "" {
		code = m.tx.ownReply(s)
	}
	if verb := s.verb(); code == "" && m.hello != "" && (verb == "EHLO" || verb == "HELO") {
		return m.helloAgain(s)
	}
	if code != "" {
		m.own++
		if !strings.HasPrefix(s.reply, code) || !strings.Contains(s.reply, "kanmon: ") {
			return fmt.Errorf("%q was answered with %q, want %s by kanmon", s.line, s.reply, code)
		}
		m.over = s.line == endOfBody
		m.tx.after(s, true)
		return nil
	}
	if s.verb() == "HELO" {
		m.said = m.old.anew(m.said)
	}
	heard, err := m.take(s, asForwarded(s, m.old.heard))
	if err != nil {
		return err
	}
	want := cleanReply(heard)
	switch verb := s.verb(); {
	case heard[0] == '2' && (verb == "EHLO" || verb == "HELO"):
		m.hello = heard
		want = cleanHello(heard, m.old.told(verb))
	case m.tx.state == modelRefusedThere && heard[:3] == "354": // a message whose MAIL it has refused: no
		m.over = true
		if !strings.HasPrefix(s.reply, "451 4.5.0 kanmon: ") {
			return fmt.Errorf("a 354 behind a refused MAIL became %q", s.reply)
		}
		return nil
	}
	if s.reply != want {
		return fmt.Errorf("%q was answered with %q, want %q", s.line, s.reply, want)
	}
	m.old.heard = m.old.heard && m.hello != ""
	m.refused = s.line == connected && heard[:3] != "220" || m.refused
	m.over = heard[:3] == "421"
	m.tx.after(s, false)
	return nil
}

// take gives what the MX said to the next line that it heard, which must be this one.
func (m *model) take(s said, line string) (reply string, err error) {
	if len(m.said) == 0 {
		return "", fmt.Errorf("%q was answered with %q, which the MX has not said", s.line, s.reply)
	}
	if m.said[0].line != line {
		return "", fmt.Errorf("the MX saw %q, not %q", m.said[0].line, line)
	}
	reply = m.said[0].reply
	m.said = m.said[1:]
	return reply, nil
}

// helloAgain is a further EHLO or HELO: the MX hears RSET, if it may have a transaction open, else nothing.
func (m *model) helloAgain(s said) error {
	want := cleanHello(m.hello, m.old.told(s.verb()))
	if m.tx.atMX {
		reset, err := m.take(s, "RSET")
		if err != nil {
			return err
		}
		if m.over = reset[:3] == "421"; m.over {
			want = cleanReply(reset)
		}
	}
	m.tx = modelTransaction{}
	if s.reply != want {
		return fmt.Errorf("%q was answered with %q, want %q", s.line, s.reply, want)
	}
	return nil
}

// A modelTransaction is what kanmon must know of the mail at hand.
type modelTransaction struct {
	state int
	atMX  bool // the MX may have a transaction open
	asked int  // RCPTs forwarded
}

const (
	modelNone         = iota // no mail: RCPT and DATA are for nobody
	modelRefusedThere        // by the MX: what stood behind MAIL in its group has been forwarded
	modelOpen
	modelLeft // DATA was refused: it may still be open at the MX
)

// ownReply is the code with which kanmon must answer what was not admitted at MAIL.
func (x *modelTransaction) ownReply(s said) string {
	verb := s.verb()
	switch {
	case verb == "MAIL" && x.state == modelOpen:
		return "503"
	case verb != "RCPT" && verb != "DATA":
	case x.state == modelNone, verb == "DATA" && x.asked == 0:
		return "503"
	case x.state == modelRefusedThere && strings.HasPrefix(s.reply, "503 5.5.1 kanmon: need MAIL first"):
		return "503" // it was no more of that group
	}
	return ""
}

// after follows a command and its reply.
func (x *modelTransaction) after(s said, local bool) {
	verb, accepted := s.verb(), s.reply[0] == '2'
	rejected := len(s.line) > 4096 || strings.ContainsAny(s.line, "\r\n\x00")
	switch {
	case s.line == connected:
	case s.line == endOfBody, accepted && verb == "RSET":
		*x = modelTransaction{}
	case local && (rejected || verb == "MAIL"):
		if x.state == modelLeft {
			x.state = modelNone
		}
	case local:
	case verb == "MAIL" && accepted:
		*x = modelTransaction{state: modelOpen, atMX: true}
	case verb == "MAIL" && x.atMX:
		*x = modelTransaction{atMX: true} // nothing may stand behind it in its group
	case verb == "MAIL":
		*x = modelTransaction{state: modelRefusedThere}
	case verb == "RCPT":
		x.asked++
	case verb == "DATA" && s.reply[0] > '3' && x.state == modelOpen:
		x.state = modelLeft
	}
}

// judgeBodies wants the bodies that the MX has accepted to be those for which the MSA was told so: all, in order, to the octet.
func judgeBodies(msa *modelMSA, mx *modelMX) error {
	var told [][]byte
	for _, s := range msa.talk {
		if s.line == endOfBody && strings.HasPrefix(s.reply, "2") {
			told = append(told, s.body)
		}
	}
	bodies := mx.accepted()
	if len(told) != len(bodies) {
		return fmt.Errorf("%d messages acknowledged, %d accepted by the MX", len(told), len(bodies))
	}
	for i := range told {
		if !bytes.Equal(told[i], bodies[i]) {
			return fmt.Errorf("body %d differs: sent %q, arrived %q", i, told[i], bodies[i])
		}
	}
	return nil
}

// A modelHELO is what became of kanmon's own EHLO for an MSA that said HELO, where the MX ended the connection at it.
type modelHELO struct {
	tried bool
	heard bool // HELO took its place, and does so from now on
}

// anew gives what answers the MSA's HELO: where EHLO met 421, HELO on another connection, once, or if that has no greeting the 421.
func (h *modelHELO) anew(talk []said) []said {
	if h.tried || len(talk) == 0 || talk[0].reply[:3] != "421" || len(talk) < 2 || talk[1].line != connected {
		return talk
	}
	h.tried = true
	if talk[1].reply[:3] != "220" || len(talk) < 3 {
		return append([]said{talk[0]}, talk[2:]...)
	}
	h.heard = true
	return talk[2:]
}

// told is the command whose reply the MSA gets to see: behind HELO nothing is offered.
func (h *modelHELO) told(verb string) string {
	if h.heard {
		return "HELO"
	}
	return verb
}

// asForwarded is what the MX must see of a command.
func asForwarded(s said, helo bool) string {
	switch verb := s.verb(); {
	case verb != "EHLO" && verb != "HELO":
		return s.line
	case helo:
		return "HELO " + strings.TrimSpace(s.line[5:])
	default:
		return "EHLO " + strings.TrimSpace(s.line[5:])
	}
}

// ownReply is the code with which kanmon must answer itself; "" for what the MX must answer.
func ownReply(s said, hello, refused bool) string {
	switch verb := s.verb(); {
	case s.line == connected, s.line == endOfBody:
		return s.own
	case len(s.line) > 4096:
		return "500"
	case strings.ContainsAny(s.line, "\r\n\x00"), strings.Contains(s.line, "\xe9"):
		return "501"
	case refused && verb == "QUIT":
		return "221"
	case refused:
		return "503"
	case verb == "VRFY":
		return "252"
	case verb == "HELP":
		return "214"
	case verb == "STARTTLS":
		return "454"
	case verb == "EXPN", verb == "XCLIENT", verb == "ETRN":
		return "502"
	case verb == "AUTH", verb == "MAIL" && !hello:
		return "503"
	case !hello && (verb == "RSET" || verb == "NOOP"):
		return "250"
	case s.line == "EHLO":
		return "501"
	case !strings.Contains(" EHLO HELO MAIL RCPT DATA RSET NOOP QUIT ", " "+verb+" "):
		return "500"
	default:
		return ""
	}
}

// cleanReply is a reply of the MX as it must reach the MSA.
func cleanReply(wire string) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSuffix(strings.ReplaceAll(wire, "\r\n", "\n"), "\n"), "\n") {
		for _, c := range []byte(line) {
			if c < ' ' || c > '~' {
				c = '?'
			}
			b.WriteByte(c)
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// cleanHello is the MX's reply to EHLO as it must reach the MSA.
func cleanHello(wire, verb string) string {
	lines := strings.Split(cleanReply(wire), "\r\n")
	first := lines[0][4:]
	if verb == "HELO" {
		return "250 " + first + "\r\n"
	}
	out := "250-" + first + "\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"
	if strings.Contains(wire, "PIPELINING") {
		return out + "250-ENHANCEDSTATUSCODES\r\n250 PIPELINING\r\n"
	}
	return out + "250 ENHANCEDSTATUSCODES\r\n"
}
