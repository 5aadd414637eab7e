package sts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const goodText = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmx: *.example.net\r\nmax_age: 604800\r\n"

// TestS14 holds how policies are read (RFC 8461 section 3.2).
func TestS14ThePolicysText(t *testing.T) {
	const both = "mx1.example.test *.example.net"
	week := 7 * 24 * time.Hour
	for _, c := range []struct {
		what, text string
		mode       Mode
		mx         string
		age        time.Duration
		says       string // "": it is a policy
	}{
		{"CRLF", goodText, Enforce, both, week, ""},
		{"LF", strings.ReplaceAll(goodText, "\r", ""), Enforce, both, week, ""},
		{"no final line end", strings.TrimSuffix(goodText, "\r\n"), Enforce, both, week, ""},
		{"another order", "max_age: 1\nmx: a.test\nmode: testing\nversion: STSv1\n", Testing, "a.test", time.Second, ""},
		{"no blank behind the colon", strings.ReplaceAll(goodText, ": ", ":"), Enforce, both, week, ""},
		{"blanks around values", strings.ReplaceAll(strings.ReplaceAll(goodText, ": ", ": \t "), "\r\n", " \t\r\n"), Enforce, both, week, ""},
		{"unknown keys", goodText + "x-later.1_a: ü : 7\r\n", Enforce, both, week, ""},
		{"blank lines", "\r\n" + goodText + "\r\n\r\n", Enforce, both, week, ""},
		{"mode twice", strings.Replace(goodText, "mode: enforce", "mode: testing\nmode: enforce", 1), Testing, both, week, ""},
		{"mode twice, the first wrong", strings.Replace(goodText, "mode: enforce", "mode: strict\nmode: enforce", 1), 0, "", 0, "the policy's mode"},
		{"max_age twice", goodText + "max_age: x\r\n", Enforce, both, week, ""},
		{"mode none needs no MX", "version: STSv1\nmode: none\nmax_age: 86400\n", None, "", 24 * time.Hour, ""},
		{"the same MX twice", "version: STSv1\nmode: enforce\nmx: a.test\nmx: a.test\nmax_age: 1\n", Enforce, "a.test a.test", time.Second, ""},
		{"no version", strings.Replace(goodText, "version: STSv1\r\n", "", 1), 0, "", 0, `version is ""`},
		{"another version", strings.Replace(goodText, "STSv1", "STSv2", 1), 0, "", 0, `version is "STSv2"`},
		{"small letters", strings.Replace(goodText, "STSv1", "stsv1", 1), 0, "", 0, `version is "stsv1"`},
		{"a key in capitals", strings.Replace(goodText, "mode:", "Mode:", 1), 0, "", 0, "no mode"},
		{"a mode in capitals", strings.Replace(goodText, "enforce", "Enforce", 1), 0, "", 0, "the policy's mode"},
		{"no mode", strings.Replace(goodText, "mode: enforce\r\n", "", 1), 0, "", 0, "no mode"},
		{"no max_age", strings.Replace(goodText, "max_age: 604800\r\n", "", 1), 0, "", 0, "no max_age"},
		{"max_age 0", strings.Replace(goodText, "604800", "0", 1), Enforce, both, 0, ""},
		{"a year", strings.Replace(goodText, "604800", "31557600", 1), Enforce, both, longestAge, ""},
		{"more than a year", strings.Replace(goodText, "604800", "31557601", 1), Enforce, both, longestAge, ""},
		{"ten digits", strings.Replace(goodText, "604800", "9999999999", 1), Enforce, both, longestAge, ""},
		{"eleven digits", strings.Replace(goodText, "604800", "99999999999", 1), 0, "", 0, "no number of seconds"},
		{"leading zeros", strings.Replace(goodText, "604800", "0000604800", 1), Enforce, both, week, ""},
		{"below 0", strings.Replace(goodText, "604800", "-1", 1), 0, "", 0, "no number of seconds"},
		{"with a sign", strings.Replace(goodText, "604800", "+1", 1), 0, "", 0, "no number of seconds"},
		{"with an exponent", strings.Replace(goodText, "604800", "1e3", 1), 0, "", 0, "no number of seconds"},
		{"with an underscore", strings.Replace(goodText, "604800", "1_0", 1), 0, "", 0, "no number of seconds"},
		{"other digits", strings.Replace(goodText, "604800", "١", 1), 0, "", 0, "no number of seconds"},
		{"a unit", strings.Replace(goodText, "604800", "7d", 1), 0, "", 0, "no number of seconds"},
		{"max_age empty", strings.Replace(goodText, "604800", "", 1), 0, "", 0, "is no text"},
		{"enforce without MX", "version: STSv1\nmode: enforce\nmax_age: 86400\n", 0, "", 0, "names no MX"},
		{"testing without MX", "version: STSv1\nmode: testing\nmax_age: 86400\n", 0, "", 0, "names no MX"},
		{"only MXs that can match nothing", "version: STSv1\nmode: enforce\nmx: 192.0.2.1\nmx: *\nmax_age: 86400\n", 0, "", 0, "names no MX"},
		{"a line without a colon", goodText + "hello\r\n", 0, "", 0, `line 6 of the policy: it is no "key: value"`},
		{"a comment", "# our policy\n" + goodText, 0, "", 0, "line 1"},
		{"HTML", "<html>\n<body>version: STSv1</body>\n</html>", 0, "", 0, "line 1"},
		{"a blank before the colon", strings.Replace(goodText, "mode:", "mode :", 1), 0, "", 0, "line 2"},
		{"a NUL", strings.Replace(goodText, "mx1", "mx\x001", 1), 0, "", 0, "is no text"},
		{"a bare CR", strings.Replace(goodText, "\r\nmode", "\rmode", 1), 0, "", 0, "is no text"},
		{"no UTF-8", goodText + "x: \xff\r\n", 0, "", 0, "no UTF-8"},
		{"empty", "", 0, "", 0, "version"},
		{"64 KiB", goodText + "x: " + strings.Repeat("y", mostText-len(goodText)-3), Enforce, both, week, ""},
		{"an octet more", goodText + "x: " + strings.Repeat("y", mostText-len(goodText)-2), 0, "", 0, "more than 65536 octets"},
		{"a few thousand MXs", goodText + strings.Repeat("mx: a.test\n", 5000), 0, "", 0, "more MXs"},
		{"a hundred long ones", goodText + strings.Repeat("mx: "+strings.Repeat("a.", 120)+"test\n", 100), 0, "", 0, "more MXs"},
	} {
		p, err := parsePolicy([]byte(c.text))
		switch {
		case c.says != "":
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %+v, %v, want %q", c.what, p, err, c.says)
			}
		case err != nil:
			t.Errorf("%s: %v", c.what, err)
		case p.Mode != c.mode || strings.Join(p.MX, " ") != c.mx || p.MaxAge != c.age:
			t.Errorf("%s: %+v, want %s %q %s", c.what, p, c.mode, c.mx, c.age)
		}
	}
}

// What stands for no MX is left out, and the rest counts; names are brought into one form.
func TestS14TheMXsOfAPolicy(t *testing.T) {
	for text, want := range map[string]string{
		"MX1.Example.TEST":  "mx1.example.test",
		"mx1.example.test.": "mx1.example.test",
		"*.Example.Test.":   "*.example.test",
		"xn--bcher-kva.de":  "xn--bcher-kva.de",
		"a.b_c.test":        "a.b_c.test",
		"mail":              "mail",
		"bücher.de":         "", "192.0.2.1": "", "192.0.2": "", "[192.0.2.1]": "", "2001:db8::1": "", "*": "", "*.": "", "*.test": "", "mx*.example.test": "",
		"a.*.test": "", "**.test.a": "", ".example.test": "", "a..test": "", "a b.test": "", "*.192.0.2": "", "a.test..": "", "a/b.test": "",
		strings.Repeat("a", 64) + ".test": "", strings.Repeat("a.", 126) + "test": "",
	} {
		if got, ok := readPattern(text); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %t, want %q", text, got, ok, want)
		}
	}
}

// TestS11 holds what a pattern stands for (RFC 8461 section 4.1).
func TestS11Patterns(t *testing.T) {
	p := &Policy{MX: []string{"mx1.example.net", "*.example.test"}}
	for name, want := range map[string]bool{
		"mx1.example.test": true, "MX1.Example.Test": true, "mx1.example.test.": true, "mx1.example.net": true, "MX1.EXAMPLE.NET": true,
		"a.mx1.example.test": false, "example.test": false, ".example.test": false, "mx2.example.net": false, "example.net": false,
		"a.mx1.example.net": false, "mx1example.test": false, "*.example.test": true, "": false, ".": false, "test": false,
	} {
		if got := p.Allows(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
	for _, text := range []string{"*.test", "mx*.example.test", "*"} {
		q, err := parsePolicy(fmt.Appendf(nil, "version: STSv1\nmode: enforce\nmx: %s\nmx: other.test\nmax_age: 1\n", text))
		if err != nil {
			t.Fatal(err)
		}
		if q.Allows("mx1.example.test") || q.Allows("example.test") || q.Allows("x.test") {
			t.Errorf("%q matches", text)
		}
	}
	if (&Policy{}).Allows("mx1.example.test") {
		t.Error("a policy without MXs allows one")
	}
	if n := testing.AllocsPerRun(100, func() { p.Allows("mx1.example.test") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is kept of a policy for reports is what was served, as far as there is room.
func TestLinesAreAsServed(t *testing.T) {
	p, err := parsePolicy([]byte(goodText + "X: y \r\n"))
	want := []string{"version: STSv1", "mode: enforce", "mx: mx1.example.test", "mx: *.example.net", "max_age: 604800", "X: y"}
	if err != nil || !slices.Equal(p.Lines, want) {
		t.Errorf("%q, %v", p.Lines, err)
	}
	if p, err = parsePolicy([]byte(goodText + strings.Repeat("x: y\n", 9000))); err != nil || len(p.Lines) != mostLines {
		t.Errorf("%d lines, %v", len(p.Lines), err)
	}
	if p, err = parsePolicy([]byte(goodText + "x: " + strings.Repeat("y", 40_000))); err != nil || p.size() > unit {
		t.Errorf("%d octets, %v", p.size(), err)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(goodText))
	f.Add([]byte("version:STSv1\nmode:none\nmax_age:0"))
	f.Add([]byte("mx: *.\xff\r\r\n\nmode: testing\nmode:\nversion: STSv1\nmax_age: 1e9\nmx: a.test\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePolicy(text)
		if err != nil {
			return
		}
		if p.MaxAge < 0 || p.MaxAge > longestAge || p.Mode > Enforce || p.Mode != None && len(p.MX) == 0 || len(p.MX) > mostPatterns {
			t.Fatalf("%+v", p)
		}
		if p.size() > mostOfMXs+mostOfLines+16*(mostPatterns+mostLines) {
			t.Errorf("%d octets are kept of %d", p.size(), len(text))
		}
		for _, pattern := range p.MX {
			if again, ok := readPattern(pattern); !ok || again != pattern {
				t.Errorf("%q is read as %q, %t", pattern, again, ok)
			}
			if !p.Allows(strings.Replace(pattern, "*", "mx", 1)) {
				t.Errorf("%q does not allow what it stands for", pattern)
			}
		}
	})
}
