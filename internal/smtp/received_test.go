package smtp

import (
	"strings"
	"testing"
	"time"
)

// What MTAs write, each in its own form, unfolded.
func TestReceivedOfEachMTA(t *testing.T) {
	at := time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)
	for _, c := range []struct {
		mta, field, id string
		at             time.Time
	}{
		{"Postfix", "from client.example (unknown [192.0.2.1]) by mail.example (Postfix) with ESMTPS id 4jYHGY1Bkqz3Z for <bob@example.net>; Mon, 30 Nov 2026 10:02:03 +0900 (JST)", "4jYHGY1Bkqz3Z", at},
		{"Postfix with short names", "from client.example (client.example [192.0.2.1]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)) (No client certificate requested) by mail.example (Postfix) with ESMTPSA id 7C3B02A0041; Mon, 30 Nov 2026 01:02:03 +0000 (UTC)", "7C3B02A0041", at},
		{"Postfix' pickup", "by mail.example (Postfix, from userid 1000) id 4jYHGY1Bkqz3Z; Mon, 30 Nov 2026 01:02:03 +0000 (UTC)", "4jYHGY1Bkqz3Z", at},
		{"Exim", "from [192.0.2.1] (helo=client.example) by mail.example with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.98) (envelope-from <a@b.example>) id 1tGxyz-000000001ab-2Def for bob@example.net; Mon, 30 Nov 2026 01:02:03 +0000", "1tGxyz-000000001ab-2Def", at},
		{"Exim of before 4.97", "from root by mail.example with local (Exim 4.94.2) (envelope-from <root@b.example>) id 1nABcd-0001Ef-Gh for bob@example.net; Mon, 30 Nov 2026 01:02:03 +0000", "1nABcd-0001Ef-Gh", at},
		{"sendmail", "from localhost (localhost [127.0.0.1]) by mail.example (8.18.1/8.18.1) with ESMTPS id 4AU123aB012345 (version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NOT) for <bob@example.net>; Mon, 30 Nov 2026 01:02:03 GMT", "4AU123aB012345", at},
		{"sendmail's submit", "(from alice@localhost) by mail.example (8.18.1/8.18.1/Submit) id 4AU123aB012345; Mon, 30 Nov 2026 01:02:03 GMT", "4AU123aB012345", at},
		{"Exchange", "from EX01.corp.example (10.0.0.1) by EX02.corp.example (10.0.0.2) with Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.2.1544.11; Mon, 30 Nov 2026 01:02:03 +0000", "", at},
		{"Exchange's mailbox", "from EX01.corp.example ([fe80::1%4]) by EX01.corp.example ([fe80::1%4]) with mapi id 15.02.1544.011; Mon, 30 Nov 2026 10:02:03 +0900", "", at},
		{"Exchange's front end", "from EX01.corp.example (10.0.0.1) by EX02.corp.example (10.0.0.2) with Microsoft SMTP Server (version=TLS1_2, cipher=X) id 15.2.1544.11 via Frontend Transport; Mon, 30 Nov 2026 01:02:03 +0000", "", at},
		{"qmail", "(qmail 12345 invoked by uid 89); 30 Nov 2026 01:02:03 -0000", "12345", at},
		{"qmail's smtpd", "from unknown (HELO client.example) (192.0.2.1) by 0 with SMTP; 30 Nov 2026 01:02:03 -0000", "", at},
		{"OpenSMTPD", "from client.example (client.example [192.0.2.1]) by mail.example (OpenSMTPD) with ESMTPSA id 7a5b3c2d (TLSv1.3:TLS_AES_256_GCM_SHA384:256:NO) for <bob@example.net>; Mon, 30 Nov 2026 01:02:03 +0000 (UTC)", "7a5b3c2d", at},
		{"OpenSMTPD's enqueuer", "from localhost (mail.example [local]) by mail.example (OpenSMTPD) with ESMTPA id 7a5b3c2d for <bob@example.net>; Mon, 30 Nov 2026 01:02:03 +0000 (UTC)", "7a5b3c2d", at},
		{"a client whose name is a keyword", "from id (id [192.0.2.1]) by for with SMTP id 77; Mon, 30 Nov 2026 01:02:03 +0000", "77", at},
		{"a client that says its own", "from x (x id 666; Tue, 1 Jan 2019 00:00:00 +0000 [192.0.2.1]) by mail.example (Postfix) with SMTP id 77 for <\"a;id 5\"@example.net>; Mon, 30 Nov 2026 01:02:03 +0000", "77", at},
		{"an address for an id", "by mail.example id <alice@example.net>; Mon, 30 Nov 2026 01:02:03 +0000", "", at},
		{"no date", "by mail.example with SMTP id 77; when it came", "77", time.Time{}},
		{"cut", "from client.example (client.exam", "", time.Time{}},
		{"nothing", "", "", time.Time{}},
	} {
		if id, got := ParseReceived(c.field); id != c.id || !got.Equal(c.at) {
			t.Errorf("%s: %q at %s, want %q at %s", c.mta, id, got, c.id, c.at)
		}
	}
}

func FuzzReceived(f *testing.F) {
	f.Add("from x (y \\) (z) \"q) by a with b id c for <d>; Mon, 30 Nov 2026 01:02:03 +0000")
	f.Fuzz(func(t *testing.T, field string) {
		id, _ := ParseReceived(field)
		if !isQueueID(id) && id != "" || !strings.Contains(field, id) {
			t.Errorf("%q of %q", id, field)
		}
	})
}

// identified runs a message through a filter that is only to identify it, in pieces of a size.
func identified(message string, piece int) (messageID, received HeaderField, done bool) {
	h := NewHeaderFilter("", false)
	h.Identify()
	for rest := []byte(message); len(rest) > 0 && !h.Done(); {
		p := rest[:min(piece, len(rest))]
		rest = rest[len(p):]
		for len(p) > 0 && !h.Done() {
			_, n, _ := h.Take(p)
			p = p[n:]
		}
	}
	done = h.Done()
	h.End()
	messageID, received = h.Identity()
	return messageID, received, done
}

// The first Message-ID and the topmost Received are found in whatever pieces a message comes, in any letter case, folded, and nowhere but in the
// header.
func TestAMessageIsIdentifiedByItsHeader(t *testing.T) {
	const top = "ReCeived: from a\r\n\tby b id 1;\r\n Mon, 30 Nov 2026 01:02:03 +0000\r\n"
	const id = "message-id :\r\n <one@x>\r\n"
	const rest = "Received: from older by c id 2; x\r\nMessage-ID: <two@x>\r\n\r\nbody\r\n"
	for name, c := range map[string]struct{ message, id, received string }{
		"usual":        {top + "Received-SPF: pass\r\nMessage-IDs: none\r\nReceive: x\r\n" + id + rest, "<one@x>", "from a by b id 1; Mon, 30 Nov 2026 01:02:03 +0000"},
		"other order":  {id + top + rest, "<one@x>", "from a by b id 1; Mon, 30 Nov 2026 01:02:03 +0000"},
		"no Received":  {id + "Subject: x\r\n\r\n" + rest, "<one@x>", ""},
		"in the body":  {"Subject: x\r\n\r\n" + top + id, "", ""},
		"dot stuffed":  {"..Message-ID: <no@x>\r\n.Message-ID: <one@x>\r\n\r\n", "<one@x>", ""},
		"header alone": {id, "<one@x>", ""},
		"too late":     {strings.Repeat("X-Long: "+strings.Repeat("x", 90)+"\r\n", 200) + rest, "", ""},
	} {
		for _, piece := range []int{1, 2, 3, 7, 100, 1 << 20} {
			if messageID, received, _ := identified(c.message, piece); messageID.Text != c.id || received.Text != c.received {
				t.Errorf("%s in pieces of %d: %+v, %+v", name, piece, messageID, received)
			}
		}
	}
	if _, _, done := identified(top+id+"Subject: x", 1<<20); !done {
		t.Error("goes on when all is known")
	}
}

// What names an account is found, and left out, as without that.
func TestAnAccountIsFoundBesideAnIdentity(t *testing.T) {
	for _, name := range []string{"X-Account", "Message-ID", "Received", "Received-By", "Receive"} {
		message := "Received: from a by b id 1; x\r\n" + name + ": acct\r\nMessage-ID: <one@x>\r\n" + name + ": other\r\nReceive : c\r\n\r\nbody"
		for _, piece := range []int{1, 3, 1 << 20} {
			alone, both := NewHeaderFilter(name, true), NewHeaderFilter(name, true)
			both.Identify()
			if a, b := passed(alone, message, piece), passed(both, message, piece); a != b {
				t.Errorf("%s in pieces of %d: %q passes, and alone %q", name, piece, b, a)
			}
			if len(alone.Fields()) != len(both.Fields()) {
				t.Errorf("%s: %v, and alone %v", name, both.Fields(), alone.Fields())
			}
			messageID, received := both.Identity()
			if name != "Message-ID" && messageID.Text != "<one@x>" || name != "Received" && received.Text != "from a by b id 1; x" {
				t.Errorf("%s in pieces of %d: %+v, %+v", name, piece, messageID, received)
			}
		}
	}
}

func passed(h *HeaderFilter, message string, piece int) string {
	var out strings.Builder
	for rest := []byte(message); len(rest) > 0; {
		p := rest[:min(piece, len(rest))]
		rest = rest[len(p):]
		for len(p) > 0 {
			pass, n, _ := h.Take(p)
			out.Write(pass)
			p = p[n:]
		}
	}
	pass, _ := h.End()
	out.Write(pass)
	return out.String()
}

// Where in a message the look for its identity ends makes no difference: what passes, what names an account, and where the header ends are as
// without that.
func TestWhereTheLookForAnIdentityEndsNothingElseDoes(t *testing.T) {
	const name = "X-Account"
	tails := []string{
		"Message-ID: <one@x>\r\n" + name + ": acct\r\n\r\n" + name + ": of the body\r\n",
		"Received: a\r\n b\r\n..\r\n" + name + ": acct\r\nSubject: x\r\n\r\n" + name + ": of the body\r\n",
		"Message-ID: <one@x>\r\n\r\n" + name + ": of the body\r\n",
	}
	for _, tail := range tails {
		for at := range len(tail) + 1 {
			head := maxIdentified - at
			message := strings.Repeat("X: y\r\n", head/6-2)
			message += "Y: " + strings.Repeat("z", head-len(message)-5) + "\r\n" + tail
			for _, strip := range []bool{true, false} {
				for _, piece := range []int{1, 1 << 20} {
					first := head - 20
					next := func() (size int) {
						size, first = max(first, piece), 0
						return size
					}
					alone, both := NewHeaderFilter(name, strip), NewHeaderFilter(name, strip)
					both.Identify()
					a := filterWith(t, alone, message, next)
					first = head - 20
					if b := filterWith(t, both, message, next); a != b {
						t.Errorf("%q, %d octets before the end of the look, in pieces of %d, strip %t: %q, over at %d, passes %q; alone %q, over at %d, passes %q",
							tail, at, piece, strip, b.fields, b.before, b.passed[head-9:], a.fields, a.before, a.passed[head-9:])
					}
				}
			}
		}
	}
}
