package parity

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// A front is an MX whose TLS is that of openssl s_server: it speaks SMTP, hands what comes behind STARTTLS to an s_server that is there for this
// connection alone, and speaks SMTP with what that has decrypted.
type front struct {
	host      *netlab.Host
	dir       string
	arguments []string // of openssl

	mu    sync.Mutex
	mails map[client]way
}

// A client is who sends.
type client uint8

const (
	direct  client = iota // Postfix
	through               // kanmon
)

// A way is how a mail has come.
type way uint8

const (
	notAtAll way = iota
	inPlainText
	encrypted
)

func (w way) String() string { return [...]string{"no mail", "plain text", "encrypted"}[w] }

// openssl prepares a command that sees no configuration of this host.
func openssl(dir string, arguments ...string) *exec.Cmd {
	cmd := exec.Command("openssl", arguments...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+filepath.Join(dir, "openssl.cnf"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// newFront listens as a profile has it.
func newFront(t *testing.T, host *netlab.Host, dir string, m *mx) *front {
	t.Helper()
	f := &front{host: host, dir: dir, mails: map[client]way{}}
	f.arguments = []string{"s_server", "-quiet", "-naccept", "1"}
	if m.certificate != "" {
		f.arguments = append(f.arguments, "-cert", m.certificate+".crt", "-key", m.certificate+".key")
	}
	if !strings.Contains(m.settings, "-cipher ") {
		f.arguments = append(f.arguments, "-cipher", "ALL:@SECLEVEL=0")
	}
	f.arguments = append(f.arguments, strings.Fields(m.settings)...)
	listener, err := host.Listen(netip.AddrPortFrom(m.address, 25).String())
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	return f
}

func (f *front) came(by client, how way) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mails[by] = how
}

func (f *front) of(by client) way {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mails[by]
}

// serve speaks to one client.
func (f *front) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	d := &dialogue{front: f, by: direct, how: inPlainText}
	if address, ok := conn.RemoteAddr().(*net.TCPAddr); ok && sendingNet.Contains(address.AddrPort().Addr().Unmap()) {
		d.by = through
	}
	_, _ = io.WriteString(conn, "220 mx.example ESMTP\r\n")
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if !d.data && strings.EqualFold(line, "STARTTLS") {
			f.encrypt(conn, d.by)
			return
		}
		reply, end := d.answer(line)
		if _, err := io.WriteString(conn, reply); err != nil || end {
			return
		}
	}
}

// ports are where s_server listens, each once.
var ports atomic.Uint32

// encrypt hands a connection to s_server, and answers what that has decrypted.
func (f *front) encrypt(conn net.Conn, by client) {
	address := netip.AddrPortFrom(loopback, uint16(20000+ports.Add(1)))
	cmd := openssl(f.dir, append(f.arguments, "-accept", address.String())...)
	to, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	from, err := cmd.StdoutPipe()
	if err != nil {
		return
	}
	if err := f.host.Do(cmd.Start); err != nil {
		return
	}
	var answering sync.WaitGroup
	answering.Go(func() {
		d := &dialogue{front: f, by: by, how: encrypted}
		for lines := bufio.NewScanner(from); lines.Scan(); {
			reply, _ := d.answer(lines.Text())
			_, _ = io.WriteString(to, reply)
		}
	})
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		answering.Wait()
		_ = cmd.Wait()
	}()
	if server := f.dial(address); server != nil {
		defer func() { _ = server.Close() }()
		if _, err := io.WriteString(conn, "220 go on\r\n"); err == nil {
			join(conn, server)
		}
	}
}

// dial connects to an s_server that begins; nil: it has not.
func (f *front) dial(address netip.AddrPort) net.Conn {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if conn, err := f.host.DialFrom(loopback, address, 10*time.Second); err == nil {
			return conn
		}
	}
	return nil
}

// join copies what the client and s_server say, until s_server has closed.
func join(conn, server net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, conn)
		closeWrite(server)
	}()
	_, _ = io.Copy(conn, server)
	closeWrite(conn) // an alert must not be overtaken by a reset
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	<-done
}

func closeWrite(conn net.Conn) {
	if out, ok := conn.(*net.TCPConn); ok {
		_ = out.CloseWrite()
	}
}

// A dialogue is SMTP with one client.
type dialogue struct {
	front *front
	by    client
	how   way
	data  bool
}

func (d *dialogue) answer(line string) (reply string, end bool) {
	if d.data {
		if line != "." {
			return "", false
		}
		d.data = false
		d.front.came(d.by, d.how)
		return "250 2.0.0 queued\r\n", false
	}
	verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
	switch verb {
	case "EHLO":
		if d.how == encrypted {
			return "250-mx.example\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n", false
		}
		return "250-mx.example\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n", false
	case "DATA":
		d.data = true
		return "354 go on\r\n", false
	case "QUIT":
		return "221 2.0.0 bye\r\n", true
	default:
		return "250 2.0.0 ok\r\n", false
	}
}

var (
	sendingNet = netip.MustParsePrefix("203.0.113.0/24") // kanmon's
	loopback   = netip.MustParseAddr("127.0.0.1")
)

// errNotReady is a server that does not listen in time.
var errNotReady = errors.New("it does not listen")
