package daemon

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/smtp/smtptest"
)

// waitForTrace is for a line that is to come.
const waitForTrace = 30 * time.Second

// readTrace reads a trace until it has said something.
func readTrace(t *testing.T, trace admin.Tracing, until string) (text string) {
	t.Helper()
	for !strings.Contains(text, until) {
		ctx, cancel := context.WithTimeout(t.Context(), waitForTrace)
		lines, err := trace.Next(ctx)
		cancel()
		if err != nil {
			t.Fatalf("waiting for %q: %v, behind\n%s", until, err, text)
		}
		text += string(lines)
	}
	return text
}

// A trace that begins in the middle of a mail shows what is said from then on, and hides whom the mail had named before: whatever is written
// down otherwise, also where nothing is. Behind it nothing is gathered any more.
func TestATraceThatBeginsInAMailHidesWhoIsInIt(t *testing.T) {
	const table = "[journal]\naddresses = 'hashed'\nhash_key_file = 'DIR/key'\n"
	for name, journal := range map[string]string{
		"nothing is written": "records = 'off'\nsession_log = 'off'\n", "records alone": "records = 'DIR/records.jsonl'\nsession_log = 'off'\n",
		"the session log, too": "records = 'DIR/records.jsonl'\nsession_log = 'DIR/session.log'\n",
	} {
		t.Run(name, func(t *testing.T) {
			refuse := atomic.Bool{}
			mx := &smtptest.MX{Keywords: []string{}, Reply: func(verb string, _ int) string {
				if verb == "RCPT" && refuse.Load() {
					return "550 5.1.1 neither canary nor sparrow is here\r\n"
				}
				return smtptest.Default
			}}
			w := newWorldWith(t, mx, "")
			if err := os.WriteFile(w.dir+"/key", []byte(strings.Repeat("k", 32)), 0o600); err != nil {
				t.Fatal(err)
			}
			w.daemon = w.newDaemon(w.parse(listenTable + table + journal))
			w.start()
			o := &operator{w.daemon}
			written := w.daemon.journalInUse()
			msa := w.session()
			msa.Expect(220)
			msa.Command("EHLO msa.example")
			msa.Command("MAIL FROM:<sparrow@example.jp>")
			msa.Command("RCPT TO:<canary@example.net>")
			trace, err := o.Trace(admin.SessionQuery{MX: w.mxAddr.Addr()})
			if err != nil {
				t.Fatal(err)
			}
			refuse.Store(true)
			msa.Command("RCPT TO:<other@example.net>")
			text := readTrace(t, trace, "550 5.1.1") // of a mail that goes on
			if err := msa.Quit(); err != nil {
				t.Error(err)
			}
			text += readTrace(t, trace, "connections closed")
			for _, name := range []string{"canary", "sparrow"} {
				if strings.Contains(text, name) {
					t.Errorf("%s is in the trace:\n%s", name, text)
				}
			}
			if !strings.Contains(text, "550 5.1.1 neither") || !strings.Contains(text, "@example.net>") {
				t.Errorf("the trace is\n%s", text)
			}
			trace.Close()
			trace.Close()
			wants := written != nil && written.Dialogue()
			if w.daemon.stream.Dialogue() != wants || w.daemon.journalInUse() != written || w.daemon.files.Traced() {
				t.Errorf("behind the trace: dialogue %v, want %v; journal %p, before %p", w.daemon.stream.Dialogue(), wants, w.daemon.journalInUse(), written)
			}
			w.stop()
		})
	}
}

// A trace goes on over a reload, also of one that writes nothing any more.
func TestATraceGoesOnOverAReload(t *testing.T) {
	w := newWorld(t, listenTable+"[journal]\nrecords = 'DIR/records.jsonl'\n")
	w.start()
	o := &operator{w.daemon}
	trace, err := o.Trace(admin.SessionQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tables := range []string{"[journal]\nrecords = 'off'\n", "[journal]\nrecords = 'DIR/other.jsonl'\n", "[journal]\nrecords = 'off'\n"} {
		if err := w.daemon.Reload(t.Context(), w.with(tables)); err != nil {
			t.Fatal(err)
		}
		msa := w.session()
		msa.Expect(220)
		if err := msa.Quit(); err != nil {
			t.Error(err)
		}
		readTrace(t, trace, "connections closed")
	}
	trace.Close()
	if w.daemon.journalInUse() != nil || w.daemon.stream.Dialogue() {
		t.Error("records are formatted for nobody")
	}
	w.stop()
}

// A name that there is not would be waited for in vain.
func TestATraceOfNobodyIsRefused(t *testing.T) {
	w := newWorld(t, listenTable+sending("here")+"[[tenant]]\nname = 'acme'\nsources = ['127.0.0.0/8']\n")
	w.start()
	o := &operator{w.daemon}
	for want, q := range map[string]admin.SessionQuery{
		"want 16 hexadecimal digits":    {Session: "here"},
		"203.0.113.77 is no sending IP": {IP: netip.MustParseAddr("203.0.113.77")},
		`there is no provider "nobody"`: {Provider: "nobody"},
		`"beta"`:                        {Tenant: "beta"},
	} {
		if trace, err := o.Trace(q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %v, want %q", q, trace, err, want)
		}
	}
	trace, err := o.Trace(admin.SessionQuery{Tenant: "acme", IP: netip.MustParseAddr("127.0.0.1"), Provider: "docomo"})
	if err != nil {
		t.Fatal(err)
	}
	trace.Close()
	w.stop()
}
