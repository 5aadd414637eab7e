package trial

import (
	"context"
	"crypto/tls"
	"errors"
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

var (
	ours  = netip.MustParseAddr("203.0.113.10")
	mxAt  = netip.MustParseAddrPort("198.51.100.25:25")
	whole = Call{From: ours, Name: "out10.example.jp", MX: mxAt, Sender: "<a@example.com>", Recipient: "<b@example.net>"}
)

// network lets a Caller dial on a network of a test.
type network struct {
	smtptest.Network
	closed int
}

func (n *network) DialFrom(ctx context.Context, from netip.Addr, to netip.AddrPort) (session.Outbound, error) {
	c, err := n.Dial(ctx, netip.AddrPortFrom(from, 0), to)
	if err != nil {
		return session.Outbound{}, err
	}
	return session.Outbound{Conn: c, SendingIP: from, Closed: func() { n.closed++ }}, nil
}

// heard gives what was told of a call of an MX, and how it ended.
func heard(t *testing.T, mx *smtptest.MX, call Call) (steps []Step, err error) {
	t.Helper()
	n := &network{}
	l, err := n.Listen(mxAt)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		mx.Serve(l)
		close(done)
	}()
	c := Caller{Dialer: n, TLS: session.ClientTLS()}
	err = c.Call(t.Context(), &call, func(s Step) { steps = append(steps, s) })
	if n.closed != 1 {
		t.Errorf("the dialler was told %d times that the connection is closed", n.closed)
	}
	_ = l.Close()
	<-done
	for _, line := range mx.Mailbox.Commands() {
		if verb, _, _ := strings.Cut(strings.ToUpper(line), " "); !slices.Contains([]string{"EHLO", "STARTTLS", "MAIL", "RCPT", "RSET", "QUIT"}, verb) {
			t.Errorf("the MX was told %q", line)
		}
	}
	if mx.Mailbox.Len() != 0 {
		t.Error("a message was sent")
	}
	return steps, err
}

func summary(steps []Step) string {
	var all []string
	for _, s := range steps {
		all = append(all, fmt.Sprintf("%s %d", s.Phase, s.Code))
	}
	return strings.Join(all, ", ")
}

func says(verb, reply string) func(string, int) string {
	return func(v string, _ int) string {
		if v == verb {
			return reply
		}
		return smtptest.Default
	}
}

// A dialogue goes as far as the MX lets it, and never as far as a message.
func TestDialogue(t *testing.T) {
	pair := smtptest.Certificate(t, smtptest.CertificateOptions{})
	withTLS := &tls.Config{Certificates: []tls.Certificate{pair}}
	none := whole
	none.Sender, none.Recipient = "", ""
	sender := whole
	sender.Recipient = ""
	plain, must, proof := whole, whole, whole
	plain.TLS, must.TLS, proof.TLS = session.TLSOff, session.TLSRequire, session.TLSVerify
	for name, test := range map[string]struct {
		mx   *smtptest.MX
		call Call
		want string
		err  string
	}{
		"all":            {&smtptest.MX{}, whole, "dial 0, banner 220, ehlo 250, mail 250, rcpt 250, reset 250, quit 221", ""},
		"no envelope":    {&smtptest.MX{}, none, "dial 0, banner 220, ehlo 250, quit 221", ""},
		"sender only":    {&smtptest.MX{}, sender, "dial 0, banner 220, ehlo 250, mail 250, reset 250, quit 221", ""},
		"TLS":            {&smtptest.MX{TLS: withTLS}, whole, "dial 0, banner 220, ehlo 250, starttls 220, handshake 0, ehlo_tls 250, mail 250, rcpt 250, reset 250, quit 221", ""},
		"TLS is off":     {&smtptest.MX{TLS: withTLS}, plain, "dial 0, banner 220, ehlo 250, mail 250, rcpt 250, reset 250, quit 221", ""},
		"TLS must be":    {&smtptest.MX{}, must, "dial 0, banner 220, ehlo 250", "the MX offers no TLS"},
		"TLS must prove": {&smtptest.MX{}, proof, "dial 0, banner 220, ehlo 250", "the MX offers no TLS"},
		"STARTTLS 454":   {&smtptest.MX{TLS: withTLS, Reply: says("STARTTLS", "454 later\r\n")}, none, "dial 0, banner 220, ehlo 250, starttls 454, quit 221", ""},
		"banner":         {&smtptest.MX{Reply: says("BANNER", "554 5.7.1 no\r\n")}, whole, "dial 0, banner 554, quit 221", ""},
		"banner 421":     {&smtptest.MX{Reply: says("BANNER", "421 4.7.0 no\r\n"+smtptest.CloseConn)}, whole, "dial 0, banner 421", ""},
		"EHLO":           {&smtptest.MX{Reply: says("EHLO", "550 5.7.1 no\r\n")}, whole, "dial 0, banner 220, ehlo 550, quit 221", ""},
		"MAIL":           {&smtptest.MX{Reply: says("MAIL", "451 4.7.1 later\r\n")}, whole, "dial 0, banner 220, ehlo 250, mail 451, quit 221", ""},
		"RCPT":           {&smtptest.MX{Reply: says("RCPT", "550 5.7.1 listed\r\n")}, whole, "dial 0, banner 220, ehlo 250, mail 250, rcpt 550, reset 250, quit 221", ""},
		"a closed line":  {&smtptest.MX{Reply: says("RCPT", smtptest.CloseConn)}, whole, "dial 0, banner 220, ehlo 250, mail 250, rcpt 0", "rcpt: EOF"},
		"no SMTP":        {&smtptest.MX{Reply: says("BANNER", "HTTP/1.1 400 Bad Request\r\n")}, whole, "dial 0, banner 0", "malformed reply"},
		"injection":      {&smtptest.MX{Keywords: []string{"STARTTLS"}, Reply: says("STARTTLS", "220 go\r\n250 2.0.0 you are in\r\n")}, whole, "dial 0, banner 220, ehlo 250, starttls 220", "ahead of the handshake"},
		"354 for RCPT":   {&smtptest.MX{Reply: says("RCPT", "354 go ahead\r\n")}, whole, "dial 0, banner 220, ehlo 250, mail 250, rcpt 354, reset 250, quit 221", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps, err := heard(t, test.mx, test.call)
				if got := summary(steps); got != test.want {
					t.Errorf("heard %s\nwant  %s", got, test.want)
				}
				if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
					t.Errorf("it ended with %v, want %q", err, test.err)
				}
			})
		})
	}
}

// Where the MX has not proved what mail would ask of it, it hears neither of the sender nor of the recipient.
func TestNobodyIsNamedToAnMXThatMailWouldNotGoTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		l, err := n.Listen(mxAt)
		if err != nil {
			t.Fatal(err)
		}
		pair := smtptest.Certificate(t, smtptest.CertificateOptions{})
		mx := &smtptest.MX{TLS: &tls.Config{Certificates: []tls.Certificate{pair}}}
		done := make(chan struct{})
		go func() {
			mx.Serve(l)
			close(done)
		}()
		var shown session.TrustLeg
		c := Caller{Dialer: n, TLS: session.ClientTLS(), May: func(_ context.Context, _ *Call, l session.TrustLeg) error {
			shown = l
			return errors.New("it proves nothing")
		}}
		var steps []Step
		err = c.Call(t.Context(), &whole, func(s Step) { steps = append(steps, s) })
		_ = l.Close()
		<-done
		if got, want := summary(steps), "dial 0, banner 220, ehlo 250, starttls 220, handshake 0, ehlo_tls 250, quit 221"; got != want || err == nil || err.Error() != "it proves nothing" {
			t.Errorf("%v; heard %s\nwant %s", err, got, want)
		}
		if shown.TLS == nil || len(shown.TLS.PeerCertificates) != 1 || shown.MX != mxAt || shown.Now.IsZero() {
			t.Errorf("it has shown %+v", shown)
		}
	})
}

// A tarpit is waited for, and its time is told; an MX that says nothing is given up, and so is one that drips for ever.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps, err := heard(t, &smtptest.MX{Reply: says("RCPT", smtptest.Delay(41*time.Second)+smtptest.Default)}, whole)
		if err != nil || steps[4].Phase != event.PhaseRcpt || steps[4].Took != 41*time.Second {
			t.Errorf("%v; heard %+v", err, steps)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		mx := &smtptest.MX{Reply: says("EHLO", smtptest.Delay(4*time.Minute)+smtptest.Default)}
		if _, err := heard(t, mx, whole); err == nil || !strings.Contains(err.Error(), "no answer within 2m0s") {
			t.Errorf("it ended with %v after %s", err, time.Since(begun))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		drip := strings.Repeat("250-mx\r\n"+smtptest.Delay(time.Minute), 100)
		begun := time.Now()
		steps, err := heard(t, &smtptest.MX{Reply: says("EHLO", drip+"250 mx\r\n")}, whole)
		if err == nil || len(steps) == 0 || steps[len(steps)-1].Took > callTime {
			t.Errorf("it ended with %v after %s: %s", err, time.Since(begun), summary(steps))
		}
	})
}

// Whatever an MX says, what is shown of it is short, and text.
func TestHostileReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := "550-\x1b[2J\x1b]0;own\x07 \u202ereversed <script>alert(1)</script> " + strings.Repeat("x", 1500) + "\r\n"
		steps, err := heard(t, &smtptest.MX{Reply: says("RCPT", strings.Repeat(line, 40)+"550 end\r\n")}, whole)
		if err != nil {
			t.Fatal(err)
		}
		got := steps[4].Shown
		if strings.ContainsAny(got, "\x1b\x07\u202e\r") || len(got) > maxLines*(maxLine+4)+20 || !strings.HasSuffix(got, "(33 more)") {
			t.Errorf("%d octets: %.200q…%q", len(got), got, got[max(0, len(got)-40):])
		}
	})
}

// Only where mail could go to is asked, on no port but its own.
func TestTarget(t *testing.T) {
	own := func(a netip.Addr) bool { return a == ours }
	named := []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd00:9::/32"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/0")}
	for addr, want := range map[string]string{
		"198.51.100.25": "", "2001:db8::25": "", "::ffff:198.51.100.25": "", "203.0.113.10": "of this host", "10.0.0.1": "no address on the Internet", "100.64.0.1": "no address on the Internet",
		"127.0.0.1": "no address on the Internet", "::1": "no address on the Internet", "::ffff:127.0.0.1": "no address on the Internet", "169.254.169.254": "no address on the Internet",
		"fe80::1": "no address on the Internet", "fe80::1%eth0": "no address that mail", "fd00::1": "no address on the Internet", "224.0.0.1": "no address on the Internet",
		"255.255.255.255": "no address on the Internet", "0.0.0.0": "no address on the Internet", "64:ff9b::a00:1": "no address on the Internet", "2002:a00:1::1": "no address on the Internet",
	} {
		for _, n := range [][]netip.Prefix{nil, named[:3]} {
			if err := Target(netip.MustParseAddr(addr), own, n); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", addr, err, want)
			}
		}
	}
	for _, addr := range []string{"10.9.1.1", "fd00:9::1"} {
		if err := Target(netip.MustParseAddr(addr), own, named[:3]); err != nil {
			t.Errorf("%s, which the configuration names: %v", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1", "169.254.169.254"} {
		if Target(netip.MustParseAddr(addr), own, named) == nil {
			t.Errorf("%s can be opened", addr)
		}
	}
	if Target(netip.Addr{}, own, nil) == nil {
		t.Error("no address can be asked")
	}
}

// What stands in MAIL and RCPT is one address, and nothing behind it.
func TestPath(t *testing.T) {
	for address, want := range map[string]string{
		"<>": "<>", "a@example.com": "<a@example.com>", "<a@example.com>": "<a@example.com>", `"a@b"@example.com`: `<"a@b"@example.com>`,
		"": "", "a": "", "@example.com": "", "a@": "", "a@example.com> SIZE=1": "", "a@example.com\r\nDATA": "", "a b@example.com": "", "é@example.com": "",
		"a@b>\n<c@d": "", strings.Repeat("a", 300) + "@b": "",
	} {
		if got, err := Path(address); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", address, got, err, want)
		}
	}
}

// Tries are few: at one receiver, at once, and in all.
func TestDesk(t *testing.T) {
	var d Desk
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	try := func(where string, want string) func() {
		t.Helper()
		end, err := d.Begin(where, "alice (web)", now)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: %v, want %q", where, err, want)
		}
		return end
	}
	a := try("docomo", "")
	b := try("google", "")
	try("yahoo", "2 tries run already")
	a()
	a() // twice is once
	now = now.Add(20 * time.Second)
	try("docomo", "docomo was tried 20s ago, by alice (web): one try a minute, so again in 40s")
	try("yahoo", "")()
	b()
	for range EachDay - 1 {
		now = now.Add(Again)
		try("docomo", "")()
	}
	now = now.Add(Again)
	try("docomo", "docomo was tried 20 times within 24 hours")
	for i := range AllDay - EachDay - 2 {
		try(fmt.Sprint(i), "")()
	}
	try("another", "100 tries were made within 24 hours")
	now = now.Add(day)
	try("another", "")()
	if len(d.tried) != 1 {
		t.Errorf("%d tries are kept", len(d.tried))
	}
	if got := Where(netip.MustParseAddr("198.51.100.25"), ""); got != "198.51.100.0/24" {
		t.Errorf("an MX of no provider is %s", got)
	}
	if got := Where(netip.MustParseAddr("2001:db8:1:2::25"), ""); got != "2001:db8:1::/48" {
		t.Errorf("an MX of no provider is %s", got)
	}
}
