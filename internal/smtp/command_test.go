package smtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// law: B1 B10
func TestParseCommand(t *testing.T) {
	for _, c := range []struct {
		line string
		verb Verb
		args string
	}{
		{"EHLO host", VerbEHLO, "host"},
		{"ehlo\thost ", VerbEHLO, "host"},
		{"eHlO  a  b ", VerbEHLO, "a  b"},
		{"HELO", VerbHELO, ""},
		{"MAIL FROM:<a@b>", VerbMAIL, "FROM:<a@b>"},
		{"MAIL", VerbMAIL, ""},
		{"MAILX FROM:<a>", VerbUnknown, "FROM:<a>"},
		{"MAI FROM:<a>", VerbUnknown, "FROM:<a>"},
		{" MAIL FROM:<a>", VerbUnknown, "MAIL FROM:<a>"},
		{"", VerbUnknown, ""},
		{"STARTTLS", VerbSTARTTLS, ""},
		{"starttlsx", VerbUnknown, ""},
		{"BDAT 10 LAST", VerbBDAT, "10 LAST"},
		{"AUTH PLAIN AAA=", VerbAUTH, "PLAIN AAA="},
		{"MAIL\xc2\xa0FROM:<a>", VerbUnknown, ""}, // a no-break space is no blank
		{"ma\xc4\xb1l x", VerbUnknown, "x"},       // nor does a dotless i fold to I
		{".", VerbUnknown, ""},
		{"GET / HTTP/1.1", VerbUnknown, "/ HTTP/1.1"},
	} {
		cmd, err := ParseCommand([]byte(c.line))
		if err != nil || cmd.Verb != c.verb || string(cmd.Args) != c.args || string(cmd.Line) != c.line {
			t.Errorf("%q: verb %q, args %q, line %q, %v; want %q, %q", c.line, cmd.Verb, cmd.Args, cmd.Line, err, c.verb, c.args)
		}
	}
}

// law: B1 I7
func TestParseCommandRefusesControlCharacters(t *testing.T) {
	for c := range byte(0x20) {
		if c == '\t' {
			continue
		}
		for _, line := range []string{string(c) + "NOOP", "NO" + string(c) + "OP", "NOOP" + string(c)} {
			if _, err := ParseCommand([]byte(line)); !errors.Is(err, ErrBadOctet) {
				t.Errorf("%q: error %v, want ErrBadOctet", line, err)
			}
		}
	}
	if _, err := ParseCommand([]byte("NOOP \x7f")); !errors.Is(err, ErrBadOctet) {
		t.Errorf("DEL: error %v, want ErrBadOctet", err)
	}
}

func TestParseCommandSeesEightBit(t *testing.T) {
	for _, c := range []struct {
		line        string
		eight, utf8 bool
	}{
		{"MAIL FROM:<a@b>", false, false},
		{"MAIL FROM:<caf\xc3\xa9@b>", true, true},
		{"MAIL FROM:<caf\xe9@b>", true, false},
		{"MAIL FROM:<\xed\xa0\x80@b>", true, false}, // a surrogate is no UTF-8
		{"MAIL FROM:<\xc0\xaf@b>", true, false},     // nor is an overlong form
	} {
		cmd, err := ParseCommand([]byte(c.line))
		if err != nil || cmd.Eight != c.eight || cmd.UTF8 != c.utf8 {
			t.Errorf("%q: Eight %t, UTF8 %t, %v", c.line, cmd.Eight, cmd.UTF8, err)
		}
	}
}

// law: B10
func TestPath(t *testing.T) {
	for _, c := range []struct {
		line, mailbox, params string
		ok                    bool
	}{
		{"MAIL FROM:<a@b>", "a@b", "", true},
		{"MAIL from: <a@b> SIZE=1 BODY=8BITMIME", "a@b", "SIZE=1 BODY=8BITMIME", true},
		{"MAIL FROM:<>", "", "", true},
		{"MAIL FROM:<> AUTH=<>", "", "AUTH=<>", true},
		{`MAIL FROM:<"a>b"@c>`, `"a>b"@c`, "", true},
		{`MAIL FROM:<"a\">b"@c> X`, `"a\">b"@c`, "X", true},
		{`MAIL FROM:<"a\\"@c> X`, `"a\\"@c`, "X", true},
		{"MAIL FROM:<@x,@y:a@b>", "@x,@y:a@b", "", true},
		{"MAIL FROM:<a@[IPv6:::1]>", "a@[IPv6:::1]", "", true},
		{"MAIL FROM:<caf\xc3\xa9@b>", "caf\xc3\xa9@b", "", true},
		{"MAIL FROM:<" + strings.Repeat("l", 300) + "@b>", strings.Repeat("l", 300) + "@b", "", true},
		{"RCPT TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;A@b", "a@b", "NOTIFY=NEVER ORCPT=rfc822;A@b", true},
		{"RCPT TO: \t<a@b>", "a@b", "", true},
		{"RCPT TO:<postmaster>", "postmaster", "", true},
		{"MAIL FROM:", "", "", false},
		{"MAIL FROM:a@b", "a@b", "", true},
		{"MAIL FROM: a@b SIZE=1 X", "a@b", "SIZE=1 X", true},
		{"MAIL FROM:a@b AUTH=<>", "a@b", "AUTH=<>", true},
		{"RCPT TO:a@b", "a@b", "", true},
		{"MAIL FROM:a b <c@d>", "", "", false},
		{`MAIL FROM:"a b"@c`, "", "", false},
		{"MAIL FROM:<a@b", "", "", false},
		{`MAIL FROM:<"a@b>`, "", "", false},
		{`MAIL FROM:<"a\`, "", "", false},
		{"MAIL LALA: <>", "", "", false},
		{"MAIL TO:<a@b>", "", "", false},
		{"RCPT FROM:<a@b>", "", "", false},
		{"RCPT TO", "", "", false},
		{"MAIL", "", "", false},
	} {
		cmd, err := ParseCommand([]byte(c.line))
		if err != nil {
			t.Fatalf("%q: %v", c.line, err)
		}
		mailbox, params, ok := cmd.Path()
		if string(mailbox) != c.mailbox || string(params) != c.params || ok != c.ok {
			t.Errorf("%q: %q, %q, %t; want %q, %q, %t", c.line, mailbox, params, ok, c.mailbox, c.params, c.ok)
		}
	}
}

func TestHasParam(t *testing.T) {
	const params = "SIZE=10 smtputf8 BODY=8BITMIME X= ENVID=SMTPX"
	for name, want := range map[string]bool{
		"SIZE": true, "SMTPUTF8": true, "body": true, "X": true, "SMTPX": false, "8BITMIME": false, "SMTP": false, "": false,
	} {
		if HasParam([]byte(params), name) != want {
			t.Errorf("HasParam(%q) is %t", name, !want)
		}
	}
}

func TestVerbNames(t *testing.T) {
	for _, name := range []string{
		"EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "STARTTLS", "AUTH", "BDAT", "BURL",
	} {
		for _, word := range []string{name, strings.ToLower(name), name[:1] + strings.ToLower(name[1:])} {
			if got := lookupVerb([]byte(word)).String(); got != name {
				t.Errorf("%s is taken for %q", word, got)
			}
		}
	}
	for _, word := range []string{"XCLIENT", "xforward", "X-EXPS", "Xy", "ETRN", "atrn", "TURN", "SEND", "SOML", "SAML", "VERB", "ONEX"} {
		if v := lookupVerb([]byte(word)); v != VerbRetired {
			t.Errorf("%s is taken for %q", word, v)
		}
	}
	for _, word := range []string{"", "X", "MAI", "MAILS", "STARTTLSX", "EHL\x00"} {
		if v := lookupVerb([]byte(word)); v != VerbUnknown {
			t.Errorf("%q is taken for %q", word, v)
		}
	}
}

// law: K-PIPELINING
func TestEndsGroup(t *testing.T) {
	for _, name := range []string{"MAIL", "RCPT", "RSET"} {
		if lookupVerb([]byte(name)).EndsGroup() {
			t.Errorf("%s ends a group", name)
		}
	}
	for _, name := range []string{"EHLO", "HELO", "DATA", "VRFY", "EXPN", "QUIT", "NOOP", "STARTTLS", "AUTH", "BDAT", "FOO"} {
		if !lookupVerb([]byte(name)).EndsGroup() {
			t.Errorf("%s does not end a group", name)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		"EHLO a", "MAIL FROM:<a@b> SIZE=1", `RCPT TO:<"x>\"y"@z> NOTIFY=NEVER`, "MAIL FROM:<a>\nRCPT TO:<b>", "\x00", "NOOP\r", "mail\tfrom: <>",
		"MAIL FROM:<\xc3\xa9@x> SMTPUTF8", "BDAT 15555555557777777777 LAST", "\x16\x03\x01", "GET / HTTP/1.1", "\x1b%-12345X",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		was := bytes.Clone(line)
		cmd, err := ParseCommand(line)
		if !bytes.Equal(line, was) {
			t.Fatal("the line was changed")
		}
		if bad := bytes.ContainsAny(line, "\r\n\x00\x1b\x7f"); bad && err == nil {
			t.Fatalf("%q was taken", line)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(cmd.Line, was) || !bytes.Contains(line, cmd.Args) || cmd.UTF8 && !utf8.Valid(line) || cmd.UTF8 && !cmd.Eight {
			t.Fatalf("%q: %+v", line, cmd)
		}
		if mailbox, params, ok := cmd.Path(); ok && (!bytes.Contains(cmd.Args, mailbox) || !bytes.HasSuffix(cmd.Args, params)) {
			t.Fatalf("%q: mailbox %q, params %q", line, mailbox, params)
		}
	})
}

func TestAreParams(t *testing.T) {
	for params, want := range map[string]bool{
		"": true, "SIZE=6": true, "SIZE=6 BODY=8BITMIME\tSMTPUTF8": true, "AUTH=<>": true, "X-FOO=a=b": true, "XVERP=+=": true, "ORCPT=rfc822;a@b": true,
		"<a@b>": false, "a@b": false, "SIZE=6 a@b": false, "(x)": false, "=6": false, "\"a\"": false, ",": false, "\xe9=1": false,
	} {
		if AreParams([]byte(params)) != want {
			t.Errorf("%q: %t", params, !want)
		}
	}
}
