package parity

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/event"
)

var update = flag.Bool("update", false, "write the table of docs/ref/tls.md anew; why something is so must be written by hand")

// To each MX of the corpus the mail that kanmon relays is encrypted wherever that of Postfix is, but for what the page says; and what the page
// says of each is so.
func TestEncryptedWhereverAnMSAWithOpenSSLIs(t *testing.T) {
	w := newWorld(t, corpus())
	must(t, w.kanmon.Start())
	bare := w.sendDirectly(t)
	relayed, records := w.sendThrough(t)
	page := readPage(t)
	var rows []row
	for _, m := range w.mxs {
		is := row{m.name, yes(bare[m.name]), yes(relayed[m.name]), page[m.name].why}
		rows = append(rows, is)
		of := records[m.name]
		t.Logf("%-60s %-3s %-3s %s %s %s", is.mx, is.openssl, is.kanmon, of.Version, of.Cipher, of.Error)
		if !*update && is != page[m.name] {
			t.Errorf("%s: encrypted by Postfix: %s, by kanmon: %s (%s); %s says %s, %s", is.mx, is.openssl, is.kanmon, of.Error, pageFile, page[m.name].openssl, page[m.name].kanmon)
		}
		if of.State == event.TLSDowngraded.String() && of.Cause != causeOf(is) {
			t.Errorf("%s: the records give the cause %q, want %q", is.mx, of.Cause, causeOf(is))
		}
		if behind := bare[m.name] == encrypted && relayed[m.name] != encrypted; behind != (is.why != "") {
			t.Errorf("%s: kanmon is behind: %t; %s says why: %q", is.mx, behind, pageFile, is.why)
		}
	}
	if len(rows) < len(profiles) {
		return
	}
	if *update {
		writePage(t, rows)
	}
	for name := range page {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.mx == name }) {
			t.Errorf("%s has %q, which is no MX of the corpus", pageFile, name)
		}
	}
}

// causeOf is why TLS fails there, as the records are to have it: in most cases the MX finds nothing in common, and says no more than that.
func causeOf(r row) string {
	switch {
	case strings.Contains(r.mx, "must have a client certificate"):
		return event.TLSClientCertificate.String()
	case slices.ContainsFunc([]string{"Go cannot read the certificate", "Go reads all certificates", "Go takes RSA keys"}, func(why string) bool { return strings.HasPrefix(r.why, why) }):
		return event.TLSCertificate.String()
	default:
		return event.TLSNothingInCommon.String()
	}
}

// switches are the lines "//go:debug" of cmd/kanmon, what each of them is set to without that line, and the MX whose TLS it repairs.
var switches = map[string]struct{ without, mx string }{
	"rsa1024min=0":         {"rsa1024min=1", "RSA 512"},
	"x509negativeserial=1": {"x509negativeserial=0", "negative serial number"},
	"tlssha1=1":            {"tlssha1=0", "SHA-1 signatures only, TLS 1.2"},
}

var debugLine = regexp.MustCompile(`(?m)^//go:debug (.*)$`)

// What the lines "//go:debug" of the real program repair is encrypted with them, and in plain text without: a line that is missing, or that
// another version of Go does not know any more, is noticed.
func TestEachSwitchRepairsWhatItIsFor(t *testing.T) {
	source, err := os.ReadFile("../../cmd/kanmon/main.go")
	must(t, err)
	var lines []string
	for _, found := range debugLine.FindAllSubmatch(source, -1) {
		lines = append(lines, string(found[1]))
	}
	var repaired []profile
	for _, line := range lines {
		at := slices.IndexFunc(profiles, func(p profile) bool { return p.name == switches[line].mx })
		if at < 0 {
			t.Fatalf("no MX of the corpus shows what //go:debug %s is for", line)
		}
		repaired = append(repaired, profiles[at])
	}
	if len(lines) != len(switches) {
		t.Errorf("cmd/kanmon has %v", lines)
	}
	w := newWorld(t, repaired)
	for _, without := range append([]string{""}, lines...) {
		if w.kanmon.Env = nil; without != "" {
			w.kanmon.Env = []string{"GODEBUG=" + switches[without].without}
		}
		must(t, w.kanmon.Start())
		relayed, _ := w.sendThrough(t)
		for _, line := range lines {
			want := encrypted
			if line == without {
				want = inPlainText
			}
			if mx := switches[line].mx; relayed[mx] != want {
				t.Errorf("with all lines but %q, mail to an MX with %s came: %s, want %s", without, mx, relayed[mx], want)
			}
		}
		w.kanmon.Kill()
		must(t, os.Remove(w.kanmon.RecordsFile()))
	}
}

// yes says whether a mail has come encrypted.
func yes(w way) string {
	if w == encrypted {
		return "yes"
	}
	return "no"
}

// A row is one of the page's table.
type row struct{ mx, openssl, kanmon, why string }

const (
	pageFile  = "docs/ref/tls.md"
	pageBegin = "<!-- made by: make tls-parity ARGS=-update -->\n"
	pageEnd   = "<!-- end -->\n"
	pageHead  = "| MX | encrypted by Postfix | encrypted by kanmon | why not |\n|---|---|---|---|\n"
)

// readPage reads what the page says of each MX.
func readPage(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", pageFile))
	must(t, err)
	_, table, found := strings.Cut(string(text), pageBegin)
	table, _, ended := strings.Cut(table, pageEnd)
	if !found || !ended {
		t.Fatalf("%s lacks the lines that the table stands between", pageFile)
	}
	rows := map[string]row{}
	for line := range strings.Lines(strings.TrimPrefix(table, pageHead)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 {
			t.Fatalf("%s: %q is no row", pageFile, line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows[cells[1]] = row{cells[1], cells[2], cells[3], cells[4]}
	}
	return rows
}

func writePage(t *testing.T, rows []row) {
	t.Helper()
	file := filepath.Join("../..", pageFile)
	text, err := os.ReadFile(file)
	must(t, err)
	before, rest, _ := strings.Cut(string(text), pageBegin)
	_, after, _ := strings.Cut(rest, pageEnd)
	table := pageHead
	for _, r := range rows {
		table += strings.TrimSuffix(fmt.Sprintf("| %s | %s | %s | %s", r.mx, r.openssl, r.kanmon, r.why), " ") + " |\n"
	}
	must(t, os.WriteFile(file, []byte(before+pageBegin+table+pageEnd+after), 0o644))
}
