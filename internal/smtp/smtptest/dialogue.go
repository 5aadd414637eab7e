package smtptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// patience is how long, in virtual time, a dialogue waits for what it expects. A longer wait must be written
// down as a sleep, so that a script says when a timer of the proxy is at work.
const patience = 10 * time.Second

// glance is how long a look for what has come takes.
const glance = time.Millisecond

// RunDialogue runs a script of the language in the package comment in a bubble of testing/synctest. It starts start
// in a goroutine as the proxy; the script fails unless start returns, all legs closed, within an hour of virtual time
// after the last line. The check may be nil.
func RunDialogue(t *testing.T, file string, check Check, start func(*Dialogue)) {
	t.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config := tls.Config{Certificates: []tls.Certificate{Certificate(t, CertificateOptions{})}}
	roots := Roots(t)
	synctest.Test(t, func(t *testing.T) {
		if err := runDialogue(file, string(script), check, &config, roots, start); err != nil {
			t.Error(err)
		}
	})
}

// The addresses of the two legs; further sending IPs count up from the proxy's.
var (
	dialogueMSA   = netip.MustParseAddrPort("192.0.2.10:40025")
	dialogueMX    = netip.MustParseAddrPort("198.51.100.25:25")
	dialogueProxy = netip.MustParseAddrPort("203.0.113.10:50025")
)

// Legs is how many sending IPs a dialogue has, and so how many legs to the MX at once.
const Legs = 3

// A Dialogue is a script on its way, as the proxy meets it.
type Dialogue struct {
	MSA *Conn // the proxy's end of the MSA's connection

	msa    *party
	config *tls.Config
	roots  *x509.CertPool
	asked  chan *question

	mu         sync.Mutex
	mxs        [Legs]*party // by sending IP; nil: the proxy has not connected from it
	first      *Conn        // the proxy's end of the first leg, which is open before it is asked for
	unanswered []string     // questions that no line has answered
	news       []string
	newsCame   chan struct{}
	heard      map[string]int // for each speaker, the news up to which lines have spoken of it
}

func runDialogue(file, script string, check Check, config *tls.Config, roots *x509.CertPool, start func(*Dialogue)) error {
	steps, err := parse(script, check)
	if err != nil {
		return fmt.Errorf("%s:%w", file, err)
	}
	msa, proxyMSA := Pair(dialogueMSA, dialogueMX)
	proxyMX, mx := Pair(dialogueProxy, dialogueMX)
	d := &Dialogue{
		MSA: proxyMSA, msa: newParty(msa), config: config, roots: roots, asked: make(chan *question),
		mxs: [Legs]*party{newParty(mx)}, first: proxyMX, newsCame: make(chan struct{}, 1), heard: make(map[string]int),
	}
	ended := make(chan struct{})
	go func() { defer close(ended); start(d) }()

	if err := d.run(steps); err != nil {
		return errors.Join(fmt.Errorf("%s:%w", file, err), d.end(file, ended))
	}
	if err := d.leftOver(); err != nil {
		return errors.Join(fmt.Errorf("%s: at the end: %w", file, err), d.end(file, ended))
	}
	return d.end(file, ended)
}

// run runs the lines. Those of one party that follow each other go out in one write: how they are read must not depend on who is faster.
func (d *Dialogue) run(steps []step) error {
	var writer *party
	for _, s := range steps {
		p, err := d.party(s.party)
		if writer != nil && (writer != p || !s.writes) {
			err = errors.Join(writer.flush(), err)
			writer = nil
		}
		if err == nil {
			err = s.run(d, p)
		}
		if err != nil {
			return fmt.Errorf("%d: %s\n%w%s", s.number, s.text, err, d.unansweredText())
		}
		if s.writes {
			writer = p
		}
	}
	if err := writer.flush(); err != nil {
		return fmt.Errorf(" at the end: %w", err)
	}
	return nil
}

// party returns who has the name; nil without an error for "".
func (d *Dialogue) party(name string) (*party, error) {
	if name == "msa" {
		return d.msa, nil
	}
	leg, isLeg := legs[name]
	if !isLeg {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mxs[leg] == nil {
		return nil, fmt.Errorf("the proxy has not connected from this sending IP: want a line \"dial: %s\" before", name)
	}
	return d.mxs[leg], nil
}

// parties are all that there are, by name.
func (d *Dialogue) parties() map[string]*party {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]*party{"MSA": d.msa}
	for name, leg := range legs {
		if d.mxs[leg] != nil {
			all[strings.ToUpper(name)] = d.mxs[leg]
		}
	}
	return all
}

// quiet lets time pass, and looks that nothing has come to anybody meanwhile.
func (d *Dialogue) quiet(length time.Duration) error {
	open := d.parties()
	maps.DeleteFunc(open, func(_ string, p *party) bool { return p.closed || p.ended })
	time.Sleep(length - time.Duration(len(open))*glance)
	var all error
	for name, p := range open {
		if err := p.wantQuiet(); err != nil {
			all = errors.Join(all, fmt.Errorf("the %s: %w", name, err))
		}
	}
	return all
}

// leftOver fails if a party has received octets that no line expected.
func (d *Dialogue) leftOver() error {
	synctest.Wait()
	var all error
	for name, p := range d.parties() {
		all = errors.Join(all, p.leftOver(name))
	}
	return all
}

// end closes what is open and waits for the proxy.
func (d *Dialogue) end(file string, ended <-chan struct{}) error {
	for _, p := range d.parties() {
		p.close()
	}
	select {
	case <-ended:
		return nil
	case <-time.After(time.Hour):
	}
	d.MSA.Reset()
	for _, p := range d.parties() {
		p.raw.peer.Reset()
	}
	<-ended
	return fmt.Errorf("%s: the session goes on an hour after all legs were closed", file)
}

// A Call is what comes of the proxy's wish to connect.
type Call struct {
	Leg    int    // 0 for the first sending IP, and so on; -1: there was none to dial from
	Conn   *Conn  // the proxy's end; nil: it was not connected
	Failed string // why: "refused" or "silent" by the MX, else the line's word; "": connected
	Same   bool   // it is no other sending IP, but a second connection from that of the leg that the proxy has
}

// Dial asks the script where the proxy connects, and from which sending IP. Without a line for it the first call gives
// the first leg, and the MX refuses any other. What the words say can be asked for in the line.
func (d *Dialogue) Dial(ctx context.Context, words ...string) Call {
	q := &question{who: "dial", words: words, answer: make(chan Answer, 1)}
	if d.ask(q) == nil {
		return d.connect(nil)
	}
	if q.call.Failed == "silent" {
		<-ctx.Done()
	}
	return q.call
}

func (d *Dialogue) connect(answer Answer) Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	call := Call{Leg: -1, Same: answer.Has("same")}
	for name, leg := range legs {
		if answer.Has(name) {
			call.Leg = leg
		}
	}
	for _, word := range failures {
		if answer.Has(word) {
			call.Failed = word
		}
	}
	if answer == nil {
		call.Leg = 0
		if d.first == nil {
			call.Failed = "refused"
		}
	}
	if call.Leg < 0 || call.Failed != "" {
		return call
	}
	if call.Leg == 0 && d.first != nil {
		call.Conn, d.first = d.first, nil
		return call
	}
	from := dialogueProxy.Addr().As4()
	from[3] += byte(call.Leg)
	var far *Conn
	call.Conn, far = Pair(netip.AddrPortFrom(netip.AddrFrom4(from), dialogueProxy.Port()), dialogueMX)
	d.mxs[call.Leg] = newParty(far)
	return call
}
