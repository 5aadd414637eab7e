package parity

import (
	"errors"
	"fmt"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/test/netlab"
)

// A world is a street with the MXs of a corpus at its far end. Postfix inside sends past the gateway's kanmon, which takes what comes from
// another network.
type world struct {
	street *netlab.Street
	msa    *netlab.Postfix
	kanmon *netlab.Kanmon
	mxs    []*mx
}

// An mx is a profile that listens.
type mx struct {
	profile
	address netip.Addr
	domain  string
	front   *front // nil: it is another server
}

const (
	directFrom  = "10.78.0.2" // of no source that kanmon takes
	throughFrom = "10.77.0.2"
)

func newWorld(t *testing.T, corpus []profile) *world {
	t.Helper()
	lab, err := netlab.New(t.Name())
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the lab's logs:\n%s", lab.Logs(40))
		}
		if err := lab.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	w := new(world)
	w.street, err = netlab.NewStreet(lab)
	must(t, err)
	for _, p := range corpus {
		// A network each: kanmon remembers so many MXs of one only.
		n := 1 + slices.IndexFunc(profiles, func(q profile) bool { return q.name == p.name })
		w.mxs = append(w.mxs, &mx{profile: p, address: netip.AddrFrom4([4]byte{198, 18, byte(n), 25}), domain: fmt.Sprintf("p%d.example", n)})
	}
	w.serveNames(t)
	w.serveFronts(t, lab.Dir, len(corpus) == len(profiles))
	w.serveOthers(t, lab.Dir)
	w.kanmon, err = netlab.NewKanmon(w.street.Gateway, netlab.StreetConfig())
	must(t, err)
	must(t, w.kanmon.Configure(netlab.StreetConfig()+fmt.Sprintf("\n[admin]\nsocket = %q\n", w.kanmon.Socket())))
	_, err = w.kanmon.Rules("apply")
	must(t, err)
	return w
}

func (w *world) serveNames(t *testing.T) {
	var zone netlab.Zone
	for _, m := range w.mxs {
		zone.MX(m.domain, "mx."+m.domain, 10)
		zone.Address("mx."+m.domain, m.address)
	}
	must(t, errors.Join(w.street.Outside.ServeDNS(zone), w.street.Inside.UseDNS(netlab.StreetDNS), w.street.Outside.UseDNS(netlab.StreetDNS)))
}

func (w *world) serveFronts(t *testing.T, dir string, all bool) {
	makeCertificates(t, dir, slices.Collect(func(yield func(profile) bool) {
		for _, m := range w.mxs {
			if !yield(m.profile) {
				return
			}
		}
	}), all)
	for _, m := range w.mxs {
		if m.server == "" {
			m.front = newFront(t, w.street.Outside, dir, m)
		}
	}
}

// sendDirectly sends a mail to each MX by Postfix, and says how each has come at once: Postfix waits for some minutes before it sends
// in plain text what it could not send in TLS.
func (w *world) sendDirectly(t *testing.T) map[string]way {
	t.Helper()
	var err error
	w.msa, err = netlab.NewPostfix(w.street.Inside, netlab.PostfixOptions{Role: netlab.MSA, Hostname: "msa.example", Settings: map[string]string{
		"smtp_bind_address": directFrom,
	}})
	must(t, err)
	for _, m := range w.mxs {
		_, err := w.msa.Submit("sender@msa.example", []string{"direct@" + m.domain}, []byte("Subject: parity\r\n\r\nHello.\r\n"))
		must(t, err)
	}
	came := map[string]way{}
	for _, m := range w.mxs {
		var tries []netlab.Attempt
		if !eventually(t, time.Minute, func() bool { tries = w.msa.Attempts("direct@" + m.domain); return len(tries) > 0 }) {
			t.Errorf("%s: Postfix has not tried", m.name)
			continue
		}
		switch inTLS := strings.Contains(w.msa.Log(), "TLS connection established to mx."+m.domain+"["); {
		case m.front != nil:
			came[m.name] = m.front.of(direct)
		case tries[0].Status != "sent":
			t.Logf("%s: Postfix was told: %s", m.name, tries[0].Reply)
		case inTLS:
			came[m.name] = encrypted
		default:
			came[m.name] = inPlainText
		}
	}
	return came
}

// sendThrough sends a mail to each MX through kanmon, and says how each has come: by what the MX has seen, and by the records.
func (w *world) sendThrough(t *testing.T) (came map[string]way, records map[string]event.EntryTLS) {
	t.Helper()
	errs := make(chan error, len(w.mxs))
	turns := make(chan struct{}, 6)
	for _, m := range w.mxs {
		go func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			errs <- w.send(m)
		}()
	}
	for range w.mxs {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	records = map[string]event.EntryTLS{}
	eventually(t, 10*time.Second, func() bool { w.readRecords(records); return len(records) == len(w.mxs) })
	came = map[string]way{}
	for _, m := range w.mxs {
		recorded := inPlainText
		if records[m.name].State == event.TLSOn.String() {
			recorded = encrypted
		}
		if came[m.name] = recorded; m.front != nil {
			came[m.name] = m.front.of(through)
		}
		if came[m.name] != recorded {
			t.Errorf("%s: the mail came %s, and the records say %s", m.name, came[m.name], records[m.name].State)
		}
	}
	return came, records
}

// send sends a mail through kanmon.
func (w *world) send(m *mx) error {
	raw, err := w.street.Inside.DialFrom(netip.MustParseAddr(throughFrom), netip.AddrPortFrom(m.address, 25), 10*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(time.Minute))
	conn := textproto.NewConn(raw)
	for _, step := range []struct {
		said string
		code int
	}{
		{"", 220},
		{"EHLO msa.example", 250},
		{"MAIL FROM:<sender@msa.example>", 250},
		{"RCPT TO:<through@" + m.domain + ">", 250},
		{"DATA", 354},
		{"Subject: parity\r\n\r\nHello.\r\n.", 250},
		{"QUIT", 221},
	} {
		if step.said != "" {
			if err := conn.PrintfLine("%s", step.said); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		if _, _, err := conn.ReadResponse(step.code); err != nil {
			return fmt.Errorf("%s: %q: %w", m.name, step.said, err)
		}
	}
	return nil
}

// readRecords gathers what is on record of the TLS of each MX: of the session's last connection.
func (w *world) readRecords(into map[string]event.EntryTLS) {
	for line := range strings.Lines(w.kanmon.Records()) {
		e, err := event.ParseEntry([]byte(line))
		if err != nil || e.Type != "session" {
			continue
		}
		for _, m := range w.mxs {
			if e.Destination.Addr() == m.address {
				into[m.name] = e.TLSMX
			}
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, most time.Duration, condition func() bool) bool {
	t.Helper()
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
