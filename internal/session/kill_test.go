package session_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kanmon/internal/session"
)

// childEnv makes the test binary a kanmon that serves one session on the loopback, to be killed.
const childEnv = "KANMON_TEST_CHILD_MX"

func TestMain(m *testing.M) {
	if mx := os.Getenv(childEnv); mx != "" {
		serveOneSession(mx)
		return
	}
	os.Exit(m.Run())
}

func serveOneSession(mx string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println(l.Addr())
	conn, err := l.Accept()
	if err != nil {
		return
	}
	var d net.Dialer
	e := testEngine{Engine: session.Engine{Live: new(session.Live), Observe: true}, Mover: killMover{}, Judge: indifferent{}}
	e.leaves(dialFunc(func(ctx context.Context, _ session.DialRequest) (session.Outbound, error) {
		c, err := d.DialContext(ctx, "tcp", mx)
		return session.Outbound{Conn: c, Name: "out.example.jp", SendingIP: ownIP}, err
	}))
	if lane := os.Getenv(childLaneEnv); lane != "" {
		e.Observe, e.Gate = false, killGate(lane)
	}
	e.Serve(conn, session.Origin{Source: msaAddr, Destination: mxAddr})
}

// killMover has only mail of a pool of its own leave from elsewhere.
type killMover struct{}

func (killMover) MayStay(req session.DialRequest, _ netip.Addr) bool { return req.Pool == "" }

// A killPoint is a conversation up to the moment of the kill.
type killPoint struct {
	state string
	steps []string // "C: …" the MSA sends, "S: …" the MX sends, each then waits until the other end has it
	dot   bool     // the MX has the dot: it delivers
	told  bool     // the MSA has its 2xx
}

func killPoints() []killPoint {
	hello := []string{"S: 220 mx\r\n", "C: EHLO msa\r\n", "S: 250-mx\r\n250 PIPELINING\r\n"}
	then := func(before []string, more ...string) []string {
		return append(append([]string(nil), before...), more...)
	}
	mail := then(hello, "C: MAIL FROM:<a@b>\r\n")
	rcpt := then(mail, "S: 250 ok\r\n", "C: RCPT TO:<c@d>\r\n")
	data := then(rcpt, "S: 250 ok\r\n", "C: DATA\r\n")
	body := then(data, "S: 354 go\r\n", "C: half a message\r\n")
	dot := then(body, "C: .\r\n")
	told := then(dot, "S: 250 queued\r\n")
	return []killPoint{
		{state: "S0"},
		{state: "S1", steps: hello[:1]},
		{state: "S2", steps: hello[:2]},
		{state: "S2", steps: hello},
		{state: "S3", steps: mail},
		{state: "S3", steps: then(mail, "S: 250 ok\r\n")},
		{state: "S4", steps: rcpt},
		{state: "S4", steps: then(rcpt, "S: 250 ok\r\n")},
		{state: "S5", steps: data},
		{state: "S6", steps: then(data, "S: 354 go\r\n")},
		{state: "S6", steps: body},
		{state: "S7", steps: dot, dot: true},
		{state: "S8", steps: told, dot: true, told: true},
		{state: "S9", steps: then(told, "C: QUIT\r\n"), dot: true, told: true},
	}
}

// kill -9 at every state: the MX has a whole message only if its dot was forwarded, the MSA a 2xx only if the MX gave it.
//
// law: I4 S0/kill S1/kill S2/kill S3/kill S4/kill S5/kill S6/kill S7/kill S8/kill S9/kill
func TestKill(t *testing.T) {
	for i, p := range killPoints() {
		t.Run(fmt.Sprintf("%s %d steps", p.state, len(p.steps)), func(t *testing.T) {
			mx, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer mx.Close()
			child, addr := startChild(t, mx.Addr().String())
			msa, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer msa.Close()
			far, err := mx.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			toMX, toMSA := playUntil(t, p.steps, msa, far)
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = child.Wait()
			gotMX, gotMSA := toMX+rest(far), toMSA+rest(msa)
			if dot := strings.Contains(gotMX, "\r\n.\r\n"); dot != p.dot {
				t.Errorf("point %d: dot at the MX: %t, in %q", i, dot, gotMX)
			}
			if told := strings.Contains(gotMSA, "250 queued"); told != p.told {
				t.Errorf("point %d: 2xx at the MSA: %t, in %q", i, told, gotMSA)
			}
		})
	}
}

func startChild(t *testing.T, mx string) (child *exec.Cmd, addr string) {
	child, _, addr = startChildIn(t, mx)
	return child, addr
}

// startChildIn gives what else the child says, too.
func startChildIn(t *testing.T, mx string, env ...string) (child *exec.Cmd, said *bufio.Reader, addr string) {
	child = exec.Command(os.Args[0])
	child.Env = append(append(os.Environ(), childEnv+"="+mx), env...)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	said = bufio.NewReader(out)
	line, err := said.ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error") {
		t.Fatalf("child: %q, %v", line, err)
	}
	return child, said, strings.TrimSpace(line)
}

// playUntil runs the steps and gives what each end has received.
func playUntil(t *testing.T, steps []string, msa, mx net.Conn) (toMX, toMSA string) {
	buf := make([]byte, 4096)
	for _, step := range steps {
		from, to, got := msa, mx, &toMX
		if strings.HasPrefix(step, "S:") {
			from, to, got = mx, msa, &toMSA
		}
		if _, err := io.WriteString(from, step[3:]); err != nil {
			t.Fatal(err)
		}
		_ = to.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := to.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", step, err)
		}
		*got += string(buf[:n])
	}
	return toMX, toMSA
}

// rest reads what a connection still gives until its end.
func rest(c net.Conn) string {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, _ := io.ReadAll(c) // an RST is as good an end as any
	return string(b)
}
