package content

import (
	"bufio"
	"io"
	"mime"
	"net/textproto"
	"regexp"
	"strings"

	"kanmon/internal/who/mailbox"
)

// Some mail is refused at the price of somebody else than its sender: a bounce tells somebody that his mail was lost, and quotes it; whoever
// reports abuse attaches it; a forwarder repeats what others wrote. Such mail is diverted at most.

// mostReported bounds the recipients of a report: those who ask for reports are a few addresses.
const mostReported = 8

// exemption says why a message is not refused; "": it may be. Of the recipients unlisted ones are not known.
func exemption(sender string, recipients []string, unlisted int, forwarded bool, open func() io.Reader) string {
	switch {
	case mailbox.Form([]byte(sender)) == mailbox.Null:
		return "a bounce"
	case len(recipients) > 0 && unlisted == 0 && allOf(recipients, toRole):
		return "to a postmaster or an abuse desk"
	case forwarded:
		return "forwarded mail"
	case len(recipients)+unlisted <= mostReported && open != nil:
		return report(open())
	}
	return ""
}

func allOf(list []string, is func(string) bool) bool {
	for _, one := range list {
		if !is(one) {
			return false
		}
	}
	return true
}

// toRole reports whether a recipient is one of those that every domain must read (RFC 2142, RFC 5321 section 4.5.1).
func toRole(recipient string) bool {
	local, _, _ := strings.Cut(mailbox.Form([]byte(recipient)), "@")
	return strings.EqualFold(local, "postmaster") || strings.EqualFold(local, "abuse")
}

// mostHeader is how much of a message is read to find out what it is.
const mostHeader = 32 << 10

// dmarcSubject is what RFC 7489 section 7.2.1.1 wants the subject of an aggregate report to be.
var dmarcSubject = regexp.MustCompile(`(?i)^Report Domain: *\S+ +Submitter: *\S+ +Report-ID: *\S+`)

// report says which report a message is, by what its header says; "": none.
func report(message io.Reader) string {
	header, _ := textproto.NewReader(bufio.NewReader(io.LimitReader(message, mostHeader))).ReadMIMEHeader() // what there is of it, also of a broken one
	if header == nil {
		return ""
	}
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	if kind == "multipart/report" {
		switch strings.ToLower(params["report-type"]) {
		case "feedback-report": // RFC 5965
			return "an abuse report"
		case "tlsrpt": // RFC 8460
			return "a TLS report"
		case "delivery-status", "disposition-notification":
			return ""
		}
	}
	if !dmarcSubject.MatchString(header.Get("Subject")) {
		return ""
	}
	switch kind {
	case "application/gzip", "application/zip", "application/x-gzip", "multipart/mixed", "multipart/report":
		return "a DMARC report"
	}
	return ""
}
