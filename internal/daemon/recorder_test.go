package daemon

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/smtp/smtptest"
)

// A record is its tenant's: by the listener, by the source, and by the sender where several tenants are behind one source.
func TestWhoseRecord(t *testing.T) {
	router, err := route.NewRouter(route.Config{Tenants: []route.Tenant{
		{Name: "acme", Sources: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		{Name: "vlan", Port: 10026},
		{Name: "one", Sources: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, SenderDomains: []string{"one.example"}},
		{Name: "two", Sources: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, SenderDomains: []string{"two.example"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		source string
		port   uint16
		sender string
		want   string
	}{
		{"10.1.0.1:1", 0, "", "acme"},
		{"10.1.0.1:1", 10026, "", "vlan"},
		{"10.2.0.1:1", 0, "", ""},
		{"10.2.0.1:1", 0, "a@ONE.example", "one"},
		{"10.2.0.1:1", 0, "a@two.example", "two"},
		{"10.2.0.1:1", 0, "a@three.example", ""},
		{"10.9.0.1:1", 0, "a@one.example", ""},
	} {
		r := event.NewRecord()
		r.Session.Source, r.Session.Port = netip.MustParseAddrPort(c.source), c.port
		if c.sender != "" {
			r.Transaction = &event.Transaction{Sender: r.Add([]byte(c.sender))}
		}
		if got := (recorder{router: router}).tenant(r); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
		if got := (recorder{}).tenant(r); got != "" {
			t.Errorf("without tenants: %q", got)
		}
		r.Release()
	}
}

// A reload that changes how addresses are written, and one that changes it back, leave one writer for the file: all records are in it, whole,
// whichever session ends first.
func TestReloadsShareTheRecordsFile(t *testing.T) {
	tables := func(mode string) string {
		return "[journal]\nrecords = 'DIR/records.jsonl'\naddresses = '" + mode + "'\n"
	}
	w := newWorld(t, listenTable+tables("clear"))
	w.start()
	var open []*smtptest.MSA
	for i, mode := range []string{"domain", "clear", ""} {
		msa := w.session()
		open = append(open, msa)
		if d := msa.Deliver(fmt.Sprintf("user%d@example.com", i), []string{"b@example.net"}, []byte("text\r\n"), true); !d.All(smtptest.Accepted) {
			t.Fatal(d)
		}
		waitUntil(t, "the mail is on record", func() bool { // a reload that comes before that is heeded
			text, err := os.ReadFile(filepath.Join(w.dir, "records.jsonl"))
			return err == nil && bytes.Count(text, []byte(`"type":"transaction"`)) == i+1
		})
		if mode != "" {
			if err := w.daemon.Reload(t.Context(), w.with(tables(mode))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, msa := range open {
		_ = msa.Quit()
	}
	w.stop()
	text, err := os.ReadFile(filepath.Join(w.dir, "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	senders := map[string]int{}
	for record, err := range event.NewReader(bytes.NewReader(text)).All() {
		if err != nil {
			t.Fatal(err)
		}
		if record.Type == "gateway" {
			continue
		}
		senders[record.Type+" "+record.Sender]++
	}
	want := map[string]int{"transaction user0@example.com": 1, "transaction *@example.com": 1, "transaction user2@example.com": 1, "session ": 3}
	if !maps.Equal(senders, want) {
		t.Errorf("%v, want %v", senders, want)
	}
}
