package sts

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/sts/ststest"
	"kanmon/internal/smtp/smtptest"
)

// fetchFrom fetches the policy of a domain whose host does this.
func fetchFrom(r *rig, h ststest.Host) (*Policy, event.TrustReason, error) {
	r.Helper()
	r.hosts.Set("example.test", h)
	r.options.Clock = time.Now
	f := newFetcher(&r.options)
	return f.fetch(r.Context(), "example.test", asA)
}

func certificate(t *testing.T, o smtptest.CertificateOptions) *tls.Certificate {
	c := smtptest.Certificate(t, o)
	return &c
}

// TestS13 holds what is no policy (RFC 8461 section 3.3), and what is told of it. TestS13InTheKeeper has what becomes of the domain.
func TestS13WhatIsNoPolicy(t *testing.T) {
	r := newRig(t)
	const name = "mta-sts.example.test"
	for _, c := range []struct {
		what string
		host ststest.Host
		why  event.TrustReason // TrustWhyNot: it is a policy
		says string
	}{
		{"usual", ststest.Host{Text: goodText}, event.TrustWhyNot, ""},
		{"with a charset", ststest.Host{Text: goodText, Type: `text/plain; charset="utf-8"`}, event.TrustWhyNot, ""},
		{"type in capitals", ststest.Host{Text: goodText, Type: "TEXT/Plain"}, event.TrustWhyNot, ""},
		{"64 KiB", ststest.Host{Text: goodText + "x: " + strings.Repeat("y", mostText-len(goodText)-3)}, event.TrustWhyNot, ""},
		{"a wildcard certificate", ststest.Host{Text: goodText, Certificate: certificate(t, smtptest.CertificateOptions{Name: "*.example.test"})}, event.TrustWhyNot, ""},
		{"RSA", ststest.Host{Text: goodText, Certificate: certificate(t, smtptest.CertificateOptions{Name: name, RSA: true})}, event.TrustWhyNot, ""},
		{"TLS 1.2", ststest.Host{Text: goodText, MaxVersion: tls.VersionTLS12}, event.TrustWhyNot, ""},
		{"301", ststest.Host{Text: goodText, Status: 301, Header: []string{"Location: https://mta-sts.other.test/.well-known/mta-sts.txt"}}, event.FetchError, "answers 301"},
		{"301 to itself", ststest.Host{Text: goodText, Status: 301, Header: []string{"Location: /.well-known/mta-sts.txt"}}, event.FetchError, "answers 301"},
		{"404", ststest.Host{Text: goodText, Status: 404}, event.FetchError, "answers 404"},
		{"203", ststest.Host{Text: goodText, Status: 203}, event.FetchError, "answers 203"},
		{"500", ststest.Host{Text: goodText, Status: 500}, event.FetchError, "answers 500"},
		{"HTML", ststest.Host{Text: goodText, Type: "text/html"}, event.FetchError, `serves "text/html"`},
		{"no type", ststest.Host{Text: goodText, Type: " "}, event.FetchError, `serves ""`},
		{"65,537 octets", ststest.Host{Text: goodText + "x: " + strings.Repeat("y", mostText-len(goodText)-2)}, event.FetchError, "more than 65536 octets"},
		{"another name", ststest.Host{Text: goodText, Certificate: certificate(t, smtptest.CertificateOptions{Name: "example.test"})}, event.WebPKIInvalid, "not mta-sts.example.test"},
		{"expired", ststest.Host{Text: goodText, Certificate: certificate(t, smtptest.CertificateOptions{Name: name, Expired: true})}, event.WebPKIInvalid, "expired"},
		{"self-signed", ststest.Host{Text: goodText, Certificate: certificate(t, smtptest.CertificateOptions{Name: name, SelfSigned: true})}, event.WebPKIInvalid, "unknown authority"},
		{"TLS 1.1", ststest.Host{Text: goodText, MaxVersion: tls.VersionTLS11}, event.FetchError, "protocol version"},
		{"no policy", ststest.Host{Text: "hello"}, event.PolicyInvalid, "line 1"},
		{"shorter than it says", ststest.Host{Raw: answer("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n" + goodText)}, event.FetchError, "unexpected EOF"},
		{"no HTTP", ststest.Host{Raw: answer("220 mx.example.test ESMTP\r\n")}, event.FetchError, "malformed HTTP"},
		{"hangs up", ststest.Host{Raw: answer("")}, event.FetchError, "EOF"},
	} {
		p, why, err := fetchFrom(r, c.host)
		switch {
		case c.why == event.TrustWhyNot && (err != nil || p.Mode != Enforce):
			t.Errorf("%s: %+v, %v", c.what, p, err)
		case c.why != event.TrustWhyNot && (p != nil || why != c.why || err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %+v, %s, %v, want %s, %q", c.what, p, why, err, c.why, c.says)
		}
	}
}

// answer is a host that says something, and no more.
func answer(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, text)
		}
	}
}

// endless is a host that says something again and again, for as long as somebody listens.
func endless(start, again string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, err := io.WriteString(conn, start)
		for again = strings.Repeat(again, max(1, 4096/len(again))); err == nil; {
			_, err = io.WriteString(conn, again)
		}
	}
}

// TestA7 has hosts that want kanmon's memory and time. The fetch ends long before the test does, and what it has read is bounded.
func TestA7HostileHosts(t *testing.T) {
	r := newRig(t)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(bytes.Repeat([]byte("x: y\n"), 1<<20))
	_ = z.Close()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	for what, raw := range map[string]func(net.Conn){
		"10^6 header lines": endless("HTTP/1.1 200 OK\r\n", "X-More: 1\r\n"),
		"one header line":   endless("HTTP/1.1 200 OK\r\nX-Long: ", "yyyyyyyy"),
		"1xx flood":         endless("", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
		"100 flood":         endless("", "HTTP/1.1 100 Continue\r\n\r\n"),
		"gzip bomb":         answer(head + "Content-Encoding: gzip\r\nContent-Length: " + fmt.Sprint(bomb.Len()) + "\r\n\r\n" + bomb.String()),
		"64 MiB":            endless(head+"Content-Length: 67108864\r\n\r\n", "x: y\n"),
		"chunks":            endless(head+"Transfer-Encoding: chunked\r\n\r\n", "5\r\nx: y\n\r\n"),
		"chunk extensions":  endless(head+"Transfer-Encoding: chunked\r\n\r\n1", ";xxxxxxxxxxx"),
		"trailers":          endless(head+"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n", "X: yyyyyyyy\r\n"),
		"switching":         answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
		"HTTP/2":            answer("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x03\x00\x00\x00\x00\x00\x00\x00\x00"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		p, why, err := fetchFrom(r, ststest.Host{Raw: raw})
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if p != nil || why != event.FetchError || err == nil {
			t.Errorf("%s: %+v, %s, %v", what, p, why, err)
		}
		if took > fetchTime/2 { // it was not time that ended it
			t.Errorf("%s: it took %s", what, took)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 { // the host's side is in it
			t.Errorf("%s: %d octets", what, n)
		}
	}
}

// A host that sends an octet a second, or nothing at all, has no more than the time of a fetch; and nothing of it stays.
func TestA7AHostThatTakesItsTime(t *testing.T) {
	r := newRig(t)
	for what, h := range map[string]ststest.Host{
		"an octet at a time":   {Text: goodText, Octet: time.Second},
		"nothing":              {Text: goodText, Wait: make(chan struct{})},
		"keeps the connection": {Raw: func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }},
	} {
		r.hosts.Set("slow.test", h)
		f := newFetcher(&r.options)
		cut, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		p, why, err := f.fetch(cut, "slow.test", asA)
		cancel()
		if p != nil || why != event.FetchError || err == nil || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %+v, %s, %v after %s", what, p, why, err, time.Since(began))
		}
	}
	if fetchTime > time.Minute {
		t.Errorf("a fetch may take %s", fetchTime)
	}
	smtptest.WaitUntil(t, "connections end", func() bool { return r.hosts.Open() == 0 })
}

// A host that keeps the connection open behind its policy is left.
func TestA7NoConnectionIsKept(t *testing.T) {
	r := newRig(t)
	r.hosts.Set("example.test", ststest.Host{Raw: func(conn net.Conn) {
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		if !request.Close || request.Header.Get("Accept-Encoding") != "" || request.Method != http.MethodGet || request.Host != "mta-sts.example.test" {
			t.Errorf("asked %+v", request)
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%s", len(goodText), goodText)
		_, _ = io.Copy(io.Discard, conn)
	}})
	f := newFetcher(&r.options)
	if p, _, err := f.fetch(t.Context(), "example.test", asA); err != nil || p.Mode != Enforce {
		t.Fatalf("%+v, %v", p, err)
	}
	smtptest.WaitUntil(t, "the connection ends", func() bool { return r.hosts.Open() == 0 })
}

// TestA25 has a proxy in the environment: it is told nothing.
func TestA25NoProxy(t *testing.T) {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	asked := make(chan struct{}, 10)
	go func() {
		for {
			conn, err := proxy.Accept()
			if err != nil {
				return
			}
			asked <- struct{}{}
			conn.Close()
		}
	}()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"} {
		t.Setenv(name, "http://"+proxy.Addr().String())
	}
	if p, _, err := fetchFrom(newRig(t), ststest.Host{Text: goodText}); err != nil || p.Mode != Enforce {
		t.Errorf("%+v, %v", p, err)
	}
	if len(asked) != 0 {
		t.Error("the proxy was asked")
	}
}

// Addresses are tried one by one; a name may have none.
func TestAddressesOfAHost(t *testing.T) {
	r := newRig(t)
	var tried []string
	r.options.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		tried = append(tried, address)
		if strings.HasPrefix(address, "11.") {
			return nil, net.ErrClosed
		}
		return r.hosts.Dial(ctx, network, address)
	}
	r.zone.addrs["mta-sts.example.test"] = addrs("11.0.0.1", "2606:4700::1", "12.0.0.1")
	if p, _, err := fetchFrom(r, ststest.Host{Text: goodText}); err != nil || p.Mode != Enforce {
		t.Errorf("%+v, %v", p, err)
	}
	if want := []string{"11.0.0.1:443", "[2606:4700::1]:443"}; !slices.Equal(tried, want) {
		t.Errorf("tried %q, want %q", tried, want)
	}
	tried = nil
	r.zone.addrs["mta-sts.example.test"] = addrs("11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.0.4", "11.0.0.5", "12.0.0.1")
	if p, why, err := fetchFrom(r, ststest.Host{Text: goodText}); p != nil || why != event.FetchError || err == nil || len(tried) != mostAddrs {
		t.Errorf("%+v, %s, %v, tried %q", p, why, err, tried)
	}
	r.zone.addrs["mta-sts.example.test"] = nil
	if _, why, err := fetchFrom(r, ststest.Host{Text: goodText}); why != event.FetchError || err == nil || !strings.Contains(err.Error(), "has no address") {
		t.Errorf("%s, %v", why, err)
	}
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// asA has questions counted in the part of the tenant a.
func asA() string { return "a" }
