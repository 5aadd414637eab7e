package scanners

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

//go:embed filter.py
var filterProgram string

// startFilter starts the filter, which writes what it hears to a file.
func startFilter(t *testing.T) (p *program, heard func() []string) {
	t.Helper()
	port := newPort()
	file := fmt.Sprintf("/tmp/heard-%d", port)
	write(t, "/etc/filter.py", filterProgram)
	p = start(t, "filter", port, "/usr/bin/python3", "/etc/filter.py", strconv.Itoa(port), file)
	return p, func() []string {
		var text []byte
		must(t, world.host.Do(func() (err error) {
			text, err = os.ReadFile(world.image.Path(file))
			return err
		}))
		return strings.Split(string(text), "\n")
	}
}

// A filter of python3-milter has its way, as far as it may: what it would change is counted, and the mail is the same. (S17)
func TestAFilterOfPython3Milter(t *testing.T) {
	p, _ := startFilter(t)
	e := milterAt(t, p.port)
	for wish, want := range map[string]event.Scan{
		"":                {Action: "no action"},
		"accept":          {Action: "no action"},
		"reject":          {Action: "reject"},
		"reject at eoh":   {Action: "reject"},
		"tempfail":        {Action: "soft reject"},
		"reply 552 5.3.4": {Action: "reject", Code: 552},
		"reply 451 4.7.1": {Action: "soft reject", Code: 451},
		"discard":         {Action: "discard"},
		"quarantine":      {Action: "quarantine"},
		"addheader":       {Action: "no action", Changes: 1},
		"chgheader":       {Action: "no action", Changes: 1},
		"delrcpt":         {Action: "no action", Changes: 1},
		"addrcpt":         {Action: "no action", Changes: 1},
		"chgfrom":         {Action: "no action", Changes: 1},
		"chgbody":         {Action: "no action", Changes: 14}, // 900,000 octets, 65,535 in a frame
	} {
		want.State = event.Scanned
		got := e.Scan(t.Context(), mail(message("X-Test: "+wish+"\r\n")))
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %+v", wish, got)
		}
	}
	refused := mail(message(""))
	refused.Recipients = append(refused.Recipients, "refused@mx.example")
	if got := e.Scan(t.Context(), refused); got.Action != "reject" {
		t.Errorf("a recipient is refused: %+v", got)
	}
}

// What a filter hears is the mail: its envelope, its account, its fields, and all octets of its body. (S15, S22, S23)
func TestAFilterHearsTheMail(t *testing.T) {
	p, heard := startFilter(t)
	e := milterAt(t, p.port)
	for name, c := range map[string]struct {
		header, body string
		want         []string
	}{
		"dots":          {message(""), ".\r\n..\r\n.x\r\n", nil},
		"octets":        {message(""), "\x00\xff\r\r\n\n\x80 no end", nil},
		"1 MiB":         {message(""), strings.Repeat("0123456789abcd\r\n", 1<<16), nil},
		"a folded line": {"A: b\r\n c\r\n\r\n", "x", []string{"header A=b", " c"}},
	} {
		header, first, _ := strings.Cut(c.header, "\r\n\r\n")
		body := first + c.body
		m := mail(header + "\r\n\r\n" + body)
		m.Sender, m.UTF8 = "é@bücher.example", true
		if got := e.Scan(t.Context(), m); got.State != event.Scanned {
			t.Errorf("%s: %+v", name, got)
		}
		lines := strings.Join(heard(), "\n")
		for _, want := range append(c.want, "connect [198.51.100.7] ('198.51.100.7', 0)", "helo msa.tenant.example", "mail <é@bücher.example> user=account@tenant.example",
			"rcpt <one@mx.example>", "rcpt <two@mx.example>", fmt.Sprintf("body %d %x", len(body), sha256.Sum256([]byte(body)))) {
			if !strings.Contains(lines, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, lines)
			}
		}
	}
	for _, text := range []string{"", "\r\n", "A: b\r\n\r\n", "A: b", "no header\r\n", "nul\x00: x\r\n\r\n", "A: nul\x00nul\r\n\r\nx"} {
		if got := e.Scan(t.Context(), mail(text)); got.State != event.Scanned || got.Action != "no action" {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// A filter that is busy for ever, says so or says nothing, or dies, gives no verdict, in time, and others get theirs. (S18)
func TestAFilterThatIsBusyForEver(t *testing.T) {
	p, _ := startFilter(t)
	const within = time.Second
	r := room(t, milterAt(t, p.port), inspect.Scanner{AtOnce: 8, Within: within}, nil)
	for _, wish := range []string{"progress", "hang", ""} {
		began := time.Now()
		got := r.Inspect(t.Context(), *mail(message("X-Test: " + wish + "\r\n")))[0]
		if took := time.Since(began); (got.State == event.Scanned) != (wish == "") || took > within+2*time.Second {
			t.Errorf("%q: %+v after %v", wish, got, took)
		}
	}
	until(t, 2*within+5*time.Second, "all places are back", func() bool { return r.State()[0].Taken == 0 })
	if got := r.Inspect(t.Context(), *mail(message("X-Test: close\r\n")))[0]; got.State != event.ScanFailed || got.Lack != event.LackUnavailable {
		t.Errorf("it has died: %+v", got)
	}
}

// opendkim would add a signature, which is counted and not made; what it cannot sign it lets pass.
func TestOpendkimAsksForASignature(t *testing.T) {
	port := newPort()
	write(t, "/etc/opendkim-test/key.pem", privateKey(t))
	must(t, world.host.Do(func() error { return os.Chmod(world.image.Path("/etc/opendkim-test/key.pem"), 0o600) }))
	write(t, "/etc/opendkim-test/conf", "Mode s\nDomain tenant.example\nSelector s\nKeyFile /etc/opendkim-test/key.pem\nInternalHosts 0.0.0.0/0\n"+
		"ExternalIgnoreList 0.0.0.0/0\nSyslog no\nLogWhy yes\nRequireSafeKeys no\n")
	start(t, "opendkim", port, "/usr/sbin/opendkim", "-f", "-x", "/etc/opendkim-test/conf", "-p", fmt.Sprintf("inet:%d@127.0.0.1", port))
	e := milterAt(t, port)
	if got := e.Scan(t.Context(), mail(message("Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"))); got.State != event.Scanned || got.Action != "no action" || got.Changes == 0 {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"From: <x@other.example>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nx\r\n", "A: b\r\n\r\n"} {
		if got := e.Scan(t.Context(), mail(text)); got.State != event.Scanned {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// privateKey is a key to sign with, made by openssl.
func privateKey(t *testing.T) string {
	t.Helper()
	out, err := world.host.Run("openssl", "genrsa", "2048")
	must(t, err)
	return out[strings.Index(out, "-----BEGIN"):]
}
