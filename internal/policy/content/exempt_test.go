package content

import (
	"io"
	"strings"
	"testing"
)

func TestWhatIsNotRefused(t *testing.T) {
	const plain = "From: a\r\nSubject: hello\r\n\r\nhello\r\n"
	const arf = "From: a\r\nContent-Type: multipart/report; report-type=feedback-report;\r\n boundary=x\r\n\r\n--x--\r\n"
	const dmarc = "From: a\r\nSubject: Report Domain: acme.example Submitter: mx.example Report-ID: <1>\r\nContent-Type: application/gzip\r\n\r\nx"
	for _, c := range []struct {
		name       string
		sender     string
		recipients []string
		unlisted   int
		forwarded  bool
		message    string
		want       string
	}{
		{"ordinary", "bob@acme.example", []string{"eve@example.net"}, 0, false, plain, ""},
		{"bounce", "", []string{"eve@example.net"}, 0, false, plain, "a bounce"},
		{"postmaster", "bob@acme.example", []string{"Postmaster@example.net", "abuse@example.org", "POSTMASTER"}, 0, false, plain, "to a postmaster or an abuse desk"},
		{"a postmaster beside others", "bob@acme.example", []string{"postmaster@example.net", "eve@example.net"}, 0, false, plain, ""},
		{"like abuse", "bob@acme.example", []string{"abuse.of.trust@example.net"}, 0, false, plain, ""},
		{"no recipients", "bob@acme.example", nil, 0, false, plain, ""},
		{"forwarded", "bob@acme.example", []string{"eve@example.net"}, 0, true, plain, "forwarded mail"},
		{"abuse report", "fbl@acme.example", []string{"eve@example.net"}, 0, false, arf, "an abuse report"},
		{"abuse report to many", "fbl@acme.example", strings.Fields(strings.Repeat("eve@example.net ", 9)), 0, false, arf, ""},
		{"abuse report to so many that nobody knows whom", "fbl@acme.example", nil, 900, false, arf, ""},
		{"a postmaster beside some whom nobody knows", "bob@acme.example", []string{"postmaster@example.net"}, 1, false, plain, ""},
		{"TLS report", "t@acme.example", []string{"eve@example.net"}, 0, false, strings.Replace(arf, "feedback-report", "\"TLSRPT\"", 1), "a TLS report"},
		{"receipt", "t@acme.example", []string{"eve@example.net"}, 0, false, strings.Replace(arf, "feedback-report", "disposition-notification", 1), ""},
		{"DMARC report", "d@acme.example", []string{"eve@example.net"}, 0, false, dmarc, "a DMARC report"},
		{"its subject alone", "d@acme.example", []string{"eve@example.net"}, 0, false, strings.Replace(dmarc, "application/gzip", "text/html", 1), ""},
		{"its subject in the body", "d@acme.example", []string{"eve@example.net"}, 0, false, plain + dmarc, ""},
		{"no header", "d@acme.example", []string{"eve@example.net"}, 0, false, "\r\nhello", ""},
		{"nothing", "d@acme.example", []string{"eve@example.net"}, 0, false, "", ""},
		{"no end of the header", "d@acme.example", []string{"eve@example.net"}, 0, false, strings.Repeat("X: y\r\n", 100_000), ""},
		{"broken header behind what tells", "d@acme.example", []string{"eve@example.net"}, 0, false, strings.Replace(arf, "boundary=x\r\n\r\n", "boundary=x\r\nbroken\r\n\r\n", 1), "an abuse report"},
	} {
		got := exemption(c.sender, c.recipients, c.unlisted, c.forwarded, func() io.Reader { return strings.NewReader(c.message) })
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add("Content-Type: multipart/report; report-type=feedback-report\r\n\r\n")
	f.Add("Subject: Report Domain: a Submitter: b Report-ID: c\r\nContent-Type: application/zip\n\n")
	f.Fuzz(func(t *testing.T, message string) {
		switch got := report(strings.NewReader(message)); got {
		case "", "an abuse report", "a TLS report", "a DMARC report":
		default:
			t.Error(got)
		}
	})
}
