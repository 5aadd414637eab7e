package session_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// childLaneEnv has the child judge messages: in a lane, with what the verdict comes to.
const childLaneEnv = "KANMON_TEST_CHILD_LANE"

// killGate tells the parent, by a line, when a message is judged.
func killGate(lane string) *contentGate {
	g := &contentGate{judged: func() { fmt.Println("judged") }}
	lane, verdict, _ := strings.Cut(lane, " ")
	_ = g.start.Lane.UnmarshalText([]byte(lane))
	_ = g.says.Handle.UnmarshalText([]byte(verdict))
	switch g.says.Handle {
	case event.HandleNot:
		g.wait = time.Hour
	case event.HandleDivert:
		g.says.Pool = "doubtful"
	}
	return g
}

// kill -9 while a message is judged: the MX has it only if its dot was forwarded, and the MSA was told nothing of it.
//
// law: H1/kill H2/kill H3/kill H4/kill H4b/kill H5/kill H6/kill T1/kill
func TestKillWhileAMessageIsJudged(t *testing.T) {
	const large = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"
	for name, p := range map[string]struct {
		lane, body string
		until      func(k *victim)
	}{
		"H1, H2: behind the 354":           {"hold accept", "half\r\n", func(*victim) {}},
		"H3: while the verdict is awaited": {"hold", "text\r\n.\r\n", func(k *victim) { k.judged() }},
		"H4: while another leg is opened": {"hold accept", "text\r\n.\r\n", func(k *victim) {
			k.hears("DATA\r\n")
			_ = k.mx.Close()
			k.accepts()
		}},
		"H4b: while a leg of another pool is opened": {"hold divert", "text\r\n.\r\n", func(k *victim) {
			k.hears("RSET\r\n")
			k.says("250 ok\r\n")
			k.accepts()
		}},
		"H5: behind DATA": {"hold accept", "text\r\n.\r\n", func(k *victim) { k.hears("DATA\r\n") }},
		"H6: while the body goes": {"hold accept", strings.Repeat(large, 1<<18) + ".\r\n", func(k *victim) {
			k.hears("DATA\r\n")
			k.says("354 go\r\n")
			k.hears(large)
		}},
		"T1: while the end is kept back": {"tee", "text\r\n.\r\n", func(k *victim) { k.judged() }},
	} {
		t.Run(name, func(t *testing.T) {
			k := newVictim(t, p.lane)
			k.delivers(p.lane, p.body)
			p.until(k)
			if err := k.child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = k.child.Wait()
			if got := k.heard + rest(k.mx); strings.Contains(got, "\r\n.\r\n") {
				t.Errorf("the MX has a dot, in the last of %d octets: %q", len(got), got[max(0, len(got)-40):])
			}
			if told := rest(k.msa); told != "" {
				t.Errorf("the MSA was told %q", told)
			}
		})
	}
}

// A victim is a session whose kanmon is to be victim.
type victim struct {
	t       *testing.T
	child   *exec.Cmd
	out     *bufio.Reader
	l       net.Listener
	msa, mx net.Conn
	heard   string
}

func newVictim(t *testing.T, lane string) *victim {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	k := &victim{t: t, l: l}
	var addr string
	k.child, k.out, addr = startChildIn(t, l.Addr().String(), childLaneEnv+"="+lane)
	if k.msa, err = net.Dial("tcp", addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.msa.Close() })
	k.accepts()
	return k
}

// accepts takes the next connection to the MX.
func (k *victim) accepts() {
	_ = k.l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
	mx, err := k.l.Accept()
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = mx.Close() })
	k.mx, k.heard = mx, ""
}

func (k *victim) says(text string) {
	if _, err := io.WriteString(k.mx, text); err != nil {
		k.t.Fatal(err)
	}
}

// hears waits until the MX has heard a text.
func (k *victim) hears(text string) { k.heard += waitFor(k.t, k.mx, text) }

// waitFor reads until a text has come, and gives all that has.
func waitFor(t *testing.T, c net.Conn, text string) (all string) {
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for buf := make([]byte, 4096); !strings.Contains(all, text); {
		n, err := c.Read(buf)
		if all += string(buf[:n]); err != nil {
			t.Fatalf("want %.40q, got %.200q: %v", text, all, err)
		}
	}
	return all
}

// judged waits until the child says that a message is judged.
func (k *victim) judged() {
	if line, err := k.out.ReadString('\n'); err != nil || line != "judged\n" {
		k.t.Fatalf("%q, %v", line, err)
	}
}

// delivers brings a message as far as its octets.
func (k *victim) delivers(lane, body string) {
	k.says("220 mx\r\n")
	steps := [][3]string{ // the MSA says, the MX hears and says
		{"EHLO msa\r\n", "EHLO", "250-mx\r\n250 PIPELINING\r\n"},
		{"MAIL FROM:<a@b>\r\n", "MAIL", "250 ok\r\n"},
		{"RCPT TO:<c@d>\r\n", "RCPT", "250 ok\r\n"},
		{"DATA\r\n", "", ""},
	}
	if strings.HasPrefix(lane, "tee") {
		steps[3] = [3]string{"DATA\r\n", "DATA", "354 go\r\n"}
	}
	waitFor(k.t, k.msa, "220 mx\r\n")
	for _, step := range steps {
		if _, err := io.WriteString(k.msa, step[0]); err != nil {
			k.t.Fatal(err)
		}
		if step[1] != "" {
			k.hears(step[1])
			k.says(step[2])
		}
		waitFor(k.t, k.msa, "\r\n")
	}
	if _, err := io.WriteString(k.msa, body); err != nil {
		k.t.Fatal(err)
	}
}
