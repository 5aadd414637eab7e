package session_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A cutPoint is where and how one connection of the reference session is cut.
type cutPoint struct {
	mxLeg     bool // the leg between kanmon and the MX, not the one between the MSA and kanmon
	back      bool // the stream toward the MSA, not the one toward the MX
	offset    int  // octets of the stream that still arrive
	how       smtptest.Cut
	tls       bool // the MX offers STARTTLS
	pipelined bool
}

func (p cutPoint) String() string {
	return fmt.Sprintf("%s: %s after %d octets", p.stream(), p.how, p.offset)
}

// stream names the stream that is cut, and the kind of session.
func (p cutPoint) stream() string {
	words := []string{"MSA leg", "toward MX", "plain", "in steps"}
	for i, other := range []string{"MX leg", "toward MSA", "TLS", "pipelined"} {
		if [...]bool{p.mxLeg, p.back, p.tls, p.pipelined}[i] {
			words[i] = other
		}
	}
	return strings.Join(words, ", ")
}

// apply cuts the connection between the end that sends toward the MX and the one that sends toward the MSA.
func (p cutPoint) apply(forth, back *smtptest.Conn) {
	if p.back {
		forth = back
	}
	forth.CutWriteAfter(p.offset, p.how)
}

// direct is the same cut where no proxy stands between. There the MSA's own connection is encrypted if the MX's leg was.
func (p cutPoint) direct() cutPoint {
	p.tls = p.tls && p.mxLeg
	p.mxLeg = false
	return p
}

// cutResult is what came of a message whose first attempt was cut, and which was tried once more where it was deferred.
type cutResult struct {
	verdicts [2]smtptest.Verdict // of the first attempt
	dot      bool                // the first attempt had sent its dot
	told     bool                // the MSA was told, at the first attempt or the second, that the message is delivered
	copies   int                 // at the MX, in the end
	withheld bool                // kanmon kept the dot back
	halfway  bool                // the MSA was told although it had closed its sending side
}

// The second recipient of the reference message is refused: a verdict can also be wrong by being too soft.
var cutRecipients = []string{"first@example.jp", "second@example.jp"}

func cutBody() []byte {
	return []byte("Message-ID: <reference@example.com>\r\nSubject: =?UTF-8?B?6Zai6ZaA?=\r\n\r\n.leading dot\r\n..\r\n" +
		strings.Repeat("The quick brown fox jumps over the lazy dog, 0123456789.\r\n", 16) + "8-bit: \xe9\xff\r\n\r\nend\r\n")
}

// A cutter runs the reference session.
type cutter struct {
	server *tls.Config
	lane   event.Lane // that messages are judged in; LaneOff: they are not
	sparse bool       // fewer octets are cut at

	mu    sync.Mutex
	known map[cutPoint]cutResult // of sessions without a proxy
}

// newCutter has a certificate with an Ed25519 key: its signatures, and so all handshakes, are of one length.
func newCutter(t *testing.T) *cutter {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	return &cutter{
		server: &tls.Config{Certificates: []tls.Certificate{cert}, CurvePreferences: []tls.CurveID{tls.X25519}},
		known:  make(map[cutPoint]cutResult),
	}
}

// client is the TLS configuration of whoever talks to the MX: kanmon, or the MSA itself. It resumes no session.
func (c *cutter) client() *tls.Config {
	config := session.ClientTLS()
	config.ClientSessionCache, config.CurvePreferences = nil, []tls.CurveID{tls.X25519}
	return config
}

// prepare makes the destination. Its keywords stand in kanmon's own order, so that both legs carry the same octets.
func (c *cutter) prepare(mx *smtptest.MX, withTLS bool) {
	mx.Keywords = []string{"SIZE 52428800", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "PIPELINING"}
	if withTLS {
		mx.TLS = c.server
	}
	mx.Reply = func(verb string, n int) string {
		if verb == "RCPT" && n == 2 {
			return "550 5.1.1 no such user\r\n"
		}
		return smtptest.Default
	}
}

func (c *cutter) rig(p cutPoint) *rig {
	r := newRig()
	r.engine.TLSToMX = c.client()
	c.prepare(&r.mx, p.tls)
	if c.lane != event.LaneOff {
		r.engine.Gate = &contentGate{start: session.Start{Lane: c.lane}, wait: time.Second}
	}
	return r
}

// length measures a stream of a session that is not cut.
func (c *cutter) length(t *testing.T, p cutPoint) (octets int) {
	synctest.Test(t, func(t *testing.T) {
		r := c.rig(p)
		var reader *smtptest.Conn
		listen := func(forth, back *smtptest.Conn) {
			if reader = back; p.back {
				reader = forth
			}
			reader.Record()
		}
		if p.mxLeg {
			r.wire = func(_ int, proxy, mx *smtptest.Conn) { listen(proxy, mx) }
		}
		msa, proxy, ended := r.connect()
		if !p.mxLeg {
			listen(msa, proxy)
		}
		res := attempt(t, msa, nil, p.pipelined)
		<-ended
		synctest.Wait()
		if res.verdicts != [2]smtptest.Verdict{smtptest.Accepted, smtptest.Bounced} {
			t.Fatalf("the reference session without a cut: %v", res.verdicts)
		}
		octets = len(reader.Record())
	})
	return octets
}

// through runs a cut session through kanmon.
func (c *cutter) through(t *testing.T, p cutPoint) (res cutResult) {
	synctest.Test(t, func(t *testing.T) {
		r := c.rig(p)
		var ends []*smtptest.Conn
		r.wire = func(n int, proxy, mx *smtptest.Conn) {
			ends = append(ends, mx)
			if n == 1 && p.mxLeg {
				p.apply(proxy, mx)
			}
		}
		msa, proxy, ended := r.connect()
		if !p.mxLeg {
			p.apply(msa, proxy)
		}
		res = attempt(t, msa, nil, p.pipelined)
		mustEnd(t, p, ended)
		res.withheld = r.log.count(event.OutcomeWithheld) > 0
		res.again(t, func() *smtptest.Conn {
			msa, _, ended = r.connect()
			return msa
		})
		mustEnd(t, p, ended)
		synctest.Wait()
		for _, end := range ends {
			end.Reset() // nobody else ends a stalled connection
		}
		synctest.Wait()
		res.copies = r.mx.Mailbox.Count(cutBody())
		if panics := r.log.panics(); len(panics) > 0 {
			t.Errorf("%s: %v", p, panics)
		}
	})
	return res
}

// mustEnd waits until a session has ended by its own timers.
func mustEnd(t *testing.T, p cutPoint, ended <-chan struct{}) {
	select {
	case <-ended:
	case <-time.After(time.Hour):
		t.Fatalf("%s: the session outlives its timers", p)
	}
}

// directly runs the same session, cut at the same point, without a proxy.
func (c *cutter) directly(t *testing.T, p cutPoint) cutResult {
	p = p.direct()
	c.mu.Lock()
	res, known := c.known[p]
	c.mu.Unlock()
	if known {
		return res
	}
	synctest.Test(t, func(t *testing.T) {
		var mx smtptest.MX
		c.prepare(&mx, p.tls)
		dial := func() (*smtptest.Conn, *smtptest.Conn) {
			msa, far := smtptest.Pair(msaAddr, mxAddr)
			go mx.ServeConn(far)
			return msa, far
		}
		var client *tls.Config
		if p.tls {
			client = c.client()
		}
		msa, far := dial()
		p.apply(msa, far)
		res = attempt(t, msa, client, p.pipelined)
		res.again(t, func() *smtptest.Conn {
			msa, _ := dial()
			return msa
		})
		synctest.Wait()
		far.Reset()
		synctest.Wait()
		res.copies = mx.Mailbox.Count(cutBody())
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[p] = res
	return res
}

// attempt delivers the reference message once, and hangs up in any case.
func attempt(t *testing.T, conn *smtptest.Conn, client *tls.Config, pipelined bool) (res cutResult) {
	msa := smtptest.NewMSA(t, conn)
	msa.TLS = client
	d := msa.Deliver("sender@example.com", cutRecipients, cutBody(), pipelined)
	if d.Err == nil {
		_ = msa.Quit()
	}
	_ = conn.Close()
	copy(res.verdicts[:], d.Verdicts)
	res.dot, res.told = d.DotSent, d.Verdicts[0] == smtptest.Accepted
	return res
}

// again delivers on a healthy connection to whom the first attempt left deferred, as a queueing MSA does.
func (res *cutResult) again(t *testing.T, connect func() *smtptest.Conn) {
	var open []string
	for i, v := range res.verdicts {
		if v == smtptest.Deferred {
			open = append(open, cutRecipients[i])
		}
	}
	if len(open) == 0 {
		return
	}
	msa := smtptest.NewMSA(t, connect())
	d := msa.Deliver("sender@example.com", open, cutBody(), false)
	_ = msa.Quit()
	if i := slices.Index(open, cutRecipients[0]); i >= 0 {
		res.told = d.Verdicts[i] == smtptest.Accepted
	}
}

// wrong says what is worse than without a proxy; "" if nothing is.
func (res cutResult) wrong(direct cutResult) string {
	switch {
	case res.told && res.copies == 0:
		return "lost"
	case res.copies > max(1, direct.copies):
		return fmt.Sprintf("%d copies, directly %d", res.copies, direct.copies)
	case !res.told && direct.told:
		return "not delivered at the second attempt"
	}
	for i, v := range res.verdicts {
		better := v == smtptest.Accepted && direct.verdicts[i] == smtptest.Deferred || // TLS was cut, plain text went through
			v == smtptest.Bounced && i == 1 && direct.verdicts[i] == smtptest.Deferred // likewise
		if v != direct.verdicts[i] && !better {
			return fmt.Sprintf("recipient %d is %s, directly %s", i+1, v, direct.verdicts[i])
		}
	}
	return ""
}

// A cutTally adds results up.
type cutTally struct {
	sync.Mutex
	runs, inFlight, lost, wrong, extra, dups, direct, withheld, halfway int
}

func (y *cutTally) add(res, direct cutResult) {
	y.Lock()
	defer y.Unlock()
	y.runs++
	if res.told && res.copies == 0 {
		y.lost++
	}
	if res.wrong(direct) != "" {
		y.wrong++
	}
	if res.dot && res.verdicts[0] == smtptest.Deferred {
		y.inFlight++
	}
	if res.withheld {
		y.withheld++
	}
	if res.halfway {
		y.halfway++
	}
	y.dups += max(0, res.copies-1)
	y.direct += max(0, direct.copies-1)
	y.extra += max(0, max(1, res.copies)-max(1, direct.copies))
}

// The cut test: the reference session is cut at every octet of every stream, in every way, and compared with the same cut
// without kanmon. Without KANMON_FAULTS=full it takes a sample of the octets, a fifth of that with the race detector.
//
// law: I1 I2 I3 I4 S1/MX-lost S2/MX-lost S3/MX-lost S4/MX-lost S5/MX-lost S6/MX-lost S7/MX-lost
// law: S0/MSA-lost S1/MSA-lost S2/MSA-lost S3/MSA-lost S4/MSA-lost S5/MSA-lost S6/MSA-lost S6'/MSA-lost S7/MSA-lost
// law: S1/MX-silent S2/MX-silent S3/MX-silent S4/MX-silent S5/MX-silent S6/MX-silent S7/MX-silent S9/MX-silent
func TestCutAtEveryOctet(t *testing.T) {
	c := newCutter(t)
	var tally cutTally
	t.Run("streams", func(t *testing.T) {
		for i := range 16 {
			p := cutPoint{mxLeg: i&1 != 0, back: i&2 != 0, tls: i&4 != 0, pipelined: i&8 != 0}
			t.Run(p.stream(), func(t *testing.T) {
				t.Parallel()
				c.cutStream(t, p, &tally)
			})
		}
	})
	t.Logf("%d cuts, %d of them with the dot in flight: lost %d, extra duplicates %d, wrong %d; duplicates %d (directly %d), dots withheld %d, half-closed MSAs told %d",
		tally.runs, tally.inFlight, tally.lost, tally.extra, tally.wrong, tally.dups, tally.direct, tally.withheld, tally.halfway)
	if tally.withheld == 0 || tally.direct == 0 || tally.halfway == 0 {
		t.Error("the cuts did not reach the dot")
	}
}

// cutStream cuts one stream in each way at each octet, or at a sample of them that holds all octets from the dot on.
func (c *cutter) cutStream(t *testing.T, p cutPoint, tally *cutTally) {
	length := c.length(t, p)
	step, dense := 7, 80
	if p.tls {
		step, dense = 31, 0 // a handshake costs ten plain sessions
	}
	if c.sparse {
		step, dense = 31, 20
	}
	switch {
	case inFull():
		step = 1
	case raceDetector && c.sparse:
		step *= 5 // the octets around the dot are few already
	case raceDetector:
		step, dense = step*5, dense/5
	}
	for offset := 0; offset <= length; offset++ {
		if offset%step != 0 && offset+dense < length {
			continue
		}
		ways := []smtptest.Cut{smtptest.FIN, smtptest.RST, smtptest.Stall}
		if !p.mxLeg && !p.back {
			ways = append(ways, smtptest.Shut) // the MSA's own way to end
		}
		for _, how := range ways {
			p.offset, p.how = offset, how
			res, direct := c.through(t, p), c.directly(t, p)
			res.halfway = how == smtptest.Shut && res.verdicts[0] == smtptest.Accepted
			if wrong := res.wrong(direct); wrong != "" {
				t.Errorf("%s: %s", p, wrong)
			}
			tally.add(res, direct)
		}
	}
	t.Logf("%d octets", length)
}
