package daemon

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"kanmon/internal/smtp/smtptest"
)

// A greylister refuses what it has not seen before: (address, sender, recipient). Several MXs can share it.
type greylister struct {
	t     *testing.T
	mu    sync.Mutex
	known map[string]bool
	empty int // connections that ended without a RCPT
	all   int
}

// listens gives the address of one of its MXs.
func (g *greylister) listens(host string) netip.AddrPort {
	g.t.Helper()
	l, err := net.Listen("tcp4", host+":0")
	if err != nil {
		g.t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { g.serve(conn) })
		}
	})
	g.t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

func (g *greylister) serve(conn net.Conn) {
	defer conn.Close()
	peer, sender, asked := conn.RemoteAddr().(*net.TCPAddr).IP.String(), "", false
	say := func(reply string) { _, _ = fmt.Fprintf(conn, "%s\r\n", reply) }
	say("220 mx.example.net ESMTP")
	for in := bufio.NewScanner(conn); in.Scan(); {
		switch line := in.Text(); {
		case strings.HasPrefix(line, "EHLO"):
			say("250-mx.example.net\r\n250 PIPELINING")
		case strings.HasPrefix(line, "MAIL"):
			sender = line
			say("250 2.1.0 ok")
		case strings.HasPrefix(line, "RCPT"):
			asked = true
			if !g.seen(peer + sender + line) {
				say("450 4.2.0 Greylisted, come back from the same address")
				continue
			}
			say("250 2.1.5 ok")
		case line == "DATA":
			say("354 go on")
			for in.Scan() && in.Text() != "." {
			}
			say("250 2.0.0 taken")
		default:
			say("250 2.0.0 ok")
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all++; !asked {
		g.empty++
	}
}

func (g *greylister) seen(triplet string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() { g.known[triplet] = true }()
	return g.known[triplet]
}

// Through a running kanmon: mails that were greylisted are taken at their first retry, although kanmon was started anew, its pool has
// gained an IP, and the retry goes to another MX of the site. Without pins four of five would be greylisted once more.
func TestGreylistedMailsAreTakenAtTheirFirstRetry(t *testing.T) {
	const mails = 20
	pool := func(n int) string {
		doc := "[standing]\nfile = 'DIR/standing.db'\n"
		var ips []string
		for i := range n {
			ip := fmt.Sprintf("'127.0.0.%d'", 11+i)
			ips = append(ips, ip)
			doc += "[[sending_ip]]\naddress = " + ip + "\nehlo = 'out.example.jp'\n"
		}
		return listenTable + doc + "[pool.default]\nips = [" + strings.Join(ips, ", ") + "]\n"
	}
	w, site := newWorld(t, pool(4)), &greylister{t: t, known: map[string]bool{}}
	taken := func() (n int) {
		for i := range mails {
			msa := w.session()
			d := msa.Deliver(fmt.Sprintf("a@d%d.example", i), []string{"b@example.net"}, []byte("Subject: x\r\n\r\nx\r\n"), true)
			_ = msa.Quit()
			if d.All(smtptest.Accepted) {
				n++
			}
		}
		return n
	}
	w.daemon.resolver = &smtptest.DNS{}
	w.mxAddr = site.listens("127.0.0.1")
	w.start()
	if n := taken(); n != 0 {
		t.Fatalf("%d of %d are taken at once: the test shows nothing", n, mails)
	}
	w.stop()
	w.daemon = w.newDaemon(w.parse(pool(5)))
	w.daemon.resolver = &smtptest.DNS{}
	w.mxAddr = site.listens("127.0.0.2")
	w.start()
	if n := taken(); n != mails {
		t.Errorf("%d of %d are taken at their first retry", n, mails)
	}
	w.stop()
	site.mu.Lock()
	defer site.mu.Unlock()
	t.Logf("%d mails, tried twice each: %d connections, %d of them without a recipient", mails, site.all, site.empty)
}
