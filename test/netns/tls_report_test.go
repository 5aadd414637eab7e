package netns

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// A tlsReport is a datagram as tlsrpt-collectd reads it: version 1 of libtlsrpt's protocol, and nothing besides.
type tlsReport struct {
	Protocol string `json:"dpv"`
	Domain   string `json:"d"`
	Record   string `json:"pr"`
	Policies []struct {
		Type     int      `json:"policy-type"`
		Domain   string   `json:"policy-domain"`
		Lines    []string `json:"policy-string"`
		Hosts    []string `json:"mx-host"`
		Failures []struct {
			Code   int    `json:"c"`
			From   string `json:"s"`
			Name   string `json:"n"`
			Hello  string `json:"h"`
			To     string `json:"r"`
			More   string `json:"a"`
			Reason string `json:"f"`
		} `json:"failure-details"`
		Times  int `json:"t"`
		Result int `json:"f"`
	} `json:"policies"`
}

// A collector stands for tlsrpt-collectd: a datagram socket.
type collector struct {
	t *testing.T
	*net.UnixConn
}

func newCollector(t *testing.T, path string) collector {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	return collector{t, socket}
}

// next reads one report.
func (c collector) next() (r tlsReport) {
	c.t.Helper()
	data := make([]byte, 1<<20)
	must(c.t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	n, err := c.Read(data)
	must(c.t, err)
	d := json.NewDecoder(bytes.NewReader(data[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || r.Protocol != "1" || len(r.Policies) != 1 {
		c.t.Fatalf("%v: %s", err, data[:n])
	}
	return r
}

// fill sends to the socket until it takes no more.
func (c collector) fill(path string) {
	c.t.Helper()
	conn, err := net.Dial("unixgram", path)
	must(c.t, err)
	defer func() { _ = conn.Close() }()
	for {
		must(c.t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
		if _, err := conn.Write([]byte("full")); err != nil {
			if !isFull(err) {
				c.t.Fatal(err)
			}
			return
		}
	}
}

// drain reads all that there is.
func (c collector) drain() {
	c.t.Helper()
	data := make([]byte, 1<<20)
	for {
		must(c.t, c.SetReadDeadline(time.Now().Add(3*time.Second)))
		if _, err := c.Read(data); err != nil {
			return
		}
	}
}

func isFull(err error) bool {
	var timeout net.Error
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOBUFS) || errors.As(err, &timeout) && timeout.Timeout()
}

// A collector of TLS reports is told of each session and domain that wants reports: what policy there was, what came of it,
// and why. One that is not there, is full, or reads nothing any more costs no mail anything, and is told again when it reads.
//
// tls-A21
func TestACollectorIsToldOfTLS(t *testing.T) {
	t.Parallel()
	const record = "v=TLSRPTv1; rua=mailto:tls@reports.example"
	good, wrong, free, silent := domainOf("good", "postfix"), domainOf("wrong", "postfix"), domainOf("free", "report"), domainOf("one", "postfix")
	w := newSTSWorld(t, func(w *stsWorld) {
		w.addDomain(free, "mx."+good)
		for _, domain := range []string{good, wrong, free} {
			w.records.WriteString("_smtp._tls." + domain + ". TXT \"" + record + "\"\n")
		}
	})
	w.servePostfix(t)
	path := filepath.Join(w.dir, "collectd.sock")
	w.startKanmon(t, "[tls_report]\nsocket = \""+path+"\"\n")
	first := mxServers[0].first
	passes := func(domain string) {
		t.Helper()
		msa := w.connects(t, first)
		begun := time.Now()
		msa.mail(map[string]int{domain: 250}, domain)
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("a mail to %s took %s", domain, took)
		}
		msa.says("QUIT", 221)
	}

	passes(good)
	w.waitsFor(t, "that nobody reads is logged", func() bool { return strings.Contains(w.kanmon.Log(), "the collector of TLS reports is not told") })

	c := newCollector(t, path)
	passes(good)
	r := c.next()
	if p := r.Policies[0]; r.Domain != good || r.Record != record || p.Type != 2 || p.Domain != good || p.Result != 0 || p.Times != 0 || len(p.Failures) != 0 ||
		!slices.Equal(p.Hosts, []string{"mx." + good}) || !slices.Equal(p.Lines, []string{"version: STSv1", "mode: enforce", "max_age: 604800", "mx: mx." + good}) {
		t.Errorf("of a success it is told %+v", r)
	}
	msa := w.connects(t, addressOf(first, slices.IndexFunc(mxKinds, func(k mxKind) bool { return k.name == "wrong" })))
	msa.says("MAIL FROM:<s@msa1.example>", 250)
	msa.says("RCPT TO:<r@"+wrong+">", 451)
	msa.says("RCPT TO:<r@"+silent+">", 451) // it wants no reports
	msa.says("QUIT", 221)
	r = c.next()
	p := r.Policies[0]
	if r.Domain != wrong || p.Type != 2 || p.Result != 1 || p.Times != 1 || len(p.Failures) != 1 || p.Failures[0].Code != 202 || p.Failures[0].Name != "mx."+wrong ||
		p.Failures[0].From != netlab.SendingIPv4.String() || p.Failures[0].To == "" {
		t.Errorf("of a failure it is told %+v", r)
	}
	passes(free)
	if r = c.next(); r.Domain != free || r.Policies[0].Type != 9 || r.Policies[0].Result != 0 {
		t.Errorf("of a domain without a policy it is told %+v", r)
	}

	c.fill(path)
	passes(good)
	c.drain()
	passes(free)
	for r = c.next(); r.Domain != free; r = c.next() {
		t.Logf("told late: %s", r.Domain)
	}
}
