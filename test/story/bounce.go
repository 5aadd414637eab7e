package story

import (
	"fmt"
	"strings"
	"time"
)

// bounceOf is what the MSA sends to the sender, in the form of RFC 3464.
func bounceOf(d *draft, at time.Time, said string) []byte {
	code, rest, _ := strings.Cut(said, " ")
	status, _, _ := strings.Cut(rest, " ")
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\r\n", args...) }
	host := "mx." + d.site.domain
	line("Return-Path: <>")
	line("From: MAILER-DAEMON@msa1.%s (Mail Delivery System)", d.from.domain)
	line("To: %s", d.Sender)
	line("Subject: Undelivered Mail Returned to Sender")
	line("Date: %s", at.Format(time.RFC1123Z))
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status; boundary=\"%s.1/msa1.%s\"", d.queueID, d.from.domain)
	line("")
	line("--%s.1/msa1.%s", d.queueID, d.from.domain)
	line("Content-Type: text/plain; charset=us-ascii")
	line("")
	line("Your message could not be handed over to one or more recipients.")
	line("")
	line("<%s>: host %s[%s] said:", d.Recipients[0], host, d.site.mx[0])
	line("    %s (in reply to end of DATA command)", said)
	line("")
	line("--%s.1/msa1.%s", d.queueID, d.from.domain)
	line("Content-Type: message/delivery-status")
	line("")
	line("Reporting-MTA: dns; msa1.%s", d.from.domain)
	line("X-Postfix-Queue-ID: %s", d.queueID)
	line("X-Postfix-Sender: rfc822; %s", d.Sender)
	line("Arrival-Date: %s", d.received.Format(time.RFC1123Z))
	line("")
	line("Final-Recipient: rfc822; %s", d.Recipients[0])
	line("Original-Recipient: rfc822;%s", d.Recipients[0])
	line("Action: failed")
	line("Status: %s", status)
	line("Remote-MTA: dns; %s", host)
	line("Diagnostic-Code: smtp; %s %s", code, rest)
	line("")
	line("--%s.1/msa1.%s", d.queueID, d.from.domain)
	line("Content-Type: text/rfc822-headers")
	line("")
	line("From: %s", d.Sender)
	line("To: %s", d.Recipients[0])
	line("Subject: hello")
	line("Message-ID: <%s>", d.msgID)
	line("")
	line("--%s.1/msa1.%s--", d.queueID, d.from.domain)
	return []byte(b.String())
}
