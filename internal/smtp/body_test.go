package smtp

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// lookalikes are the forms of end of data that some MTA accepts, and the strict one must not.
var lookalikes = map[string]string{
	"S1 LF.LF":              "\n.\n",
	"S2 LF.CRLF":            "\n.\r\n",
	"S3 CR.CR":              "\r.\r",
	"S4 CR.CRLF":            "\r.\r\n",
	"S5 CRLF.LF":            "\r\n.\n",
	"S6 CRLF.CR":            "\r\n.\rx",
	"S7 LF.CR":              "\n.\r",
	"S7 CR.LF":              "\r.\n",
	"S8 CRLF NUL.CRLF":      "\r\n\x00.\r\n",
	"S9 CRLF.NUL CRLF":      "\r\n.\x00\r\n",
	"S10 CR NUL LF.CRLF":    "\r\x00\n.\r\n",
	"S10 CRLF.CR NUL LF":    "\r\n.\r\x00\n",
	"S11 CRLF.CRCRLF":       "\r\n.\r\r\n",
	"S11 CRCRLF.CRCRLF":     "\r\r\n.\r\r\n",
	"S17 CRLF.CR text":      "\r\n.\rfoo\r\n",
	"LF NUL.CRLF":           "\n\x00.\r\n",
	"CRLF NUL NUL . NUL LF": "\r\n\x00\x00.\x00\n",
}

// scanAll feeds a stream in pieces as the engine does and gives what may be forwarded and the first verdict that ends it.
func scanAll(stream []byte, pieces []int) (forwarded []byte, v Verdict, rest []byte) {
	var b Body
	var buf []byte
	for len(stream) > 0 {
		n := min(len(stream), max(1, pieces[0]))
		pieces = append(pieces[1:], pieces[0])
		buf, stream = append(buf, stream[:n]...), stream[n:]
		safe, v := b.Scan(buf)
		forwarded = append(forwarded, buf[:safe]...)
		buf = buf[safe:]
		if v != BodyGoesOn {
			return forwarded, v, append(buf, stream...)
		}
	}
	return forwarded, BodyGoesOn, buf
}

// law: I7 B3
func TestBodyNeverForwardsALookalikeAtAnySplit(t *testing.T) {
	const next = "MAIL FROM:<smuggled@x>\r\n"
	for name, form := range lookalikes {
		stream := []byte("Subject: x\r\n\r\ntext" + form + next + "\r\n.\r\n")
		for cut := range stream {
			forwarded, v, _ := scanAll(stream, []int{cut, len(stream)})
			if v != BodySmuggle || bytes.Contains(forwarded, []byte("MAIL")) {
				t.Fatalf("%s cut at %d: verdict %d, forwarded %q", name, cut, v, forwarded)
			}
		}
		if _, v, _ := scanAll(stream, []int{1}); v != BodySmuggle {
			t.Fatalf("%s octet by octet: verdict %d", name, v)
		}
	}
}

func TestBodyEndsOnlyAtTheTrueDot(t *testing.T) {
	for _, c := range []struct{ stream, body string }{
		{".\r\n", ""}, // S13: right after 354
		{"\r\n.\r\n", "\r\n"},
		{"a\r\n.\r\nQUIT\r\n", "a\r\n"},
		{"a\r\n..\r\n..b\r\n.\r\n", "a\r\n..\r\n..b\r\n"},
		{"a\r\n.b\r\n.\r\n", "a\r\n.b\r\n"}, // an unstuffed dot is the MX's matter
		{"a\nb\rc\r\n.\r\n", "a\nb\rc\r\n"}, // bare breaks far from a dot pass
		{"x\x00\r\n.\r\n\x00", "x\x00\r\n"}, // NUL in a line is content
		{"a\r\r\n.\r\n", "a\r\r\n"},         // CR CRLF is a bare CR and a true line end
		{"a.\r\n.b.\n.c\r\n.\r\n", "a.\r\n.b.\n.c\r\n"},
	} {
		for cut := range len(c.stream) {
			got, v, rest := scanAll([]byte(c.stream), []int{cut, 1 << 20})
			if string(got) != c.body || v != BodyEnds {
				t.Fatalf("%q cut at %d: %q, verdict %d", c.stream, cut, got, v)
			}
			if want := c.stream[len(c.body):]; string(rest) != want {
				t.Fatalf("%q cut at %d: rest %q, want %q", c.stream, cut, rest, want)
			}
		}
	}
}

func TestBodyCountsBareBreaks(t *testing.T) {
	var b Body
	b.Scan([]byte("a\nb\rc\r\rd\r\n\n"))
	if b.BareLF != 2 || b.BareCR != 3 {
		t.Fatalf("BareLF %d, BareCR %d", b.BareLF, b.BareCR)
	}
}

// A stream's meaning must not depend on how it was cut into reads.
func TestBodyIsSplitInvariant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := []byte(rapid.StringOfN(rapid.SampledFrom([]rune("\r\n.\x00a")), 0, 40, -1).Draw(t, "stream"))
		pieces := rapid.SliceOfN(rapid.IntRange(1, 7), 1, 8).Draw(t, "pieces")
		whole, wv, wrest := scanAll(bytes.Clone(stream), []int{1 << 20})
		cut, cv, crest := scanAll(bytes.Clone(stream), pieces)
		if !bytes.Equal(whole, cut) || wv != cv || !bytes.Equal(wrest, crest) {
			t.Fatalf("whole %q %d, cut %q %d", whole, wv, cut, cv)
		}
	})
}

// lenientEnd finds an end of data as the most lenient MTAs together would: a dot between any two breaks, NULs ignored.
func lenientEnd(p []byte) bool {
	s := "\n" + strings.ReplaceAll(string(p), "\x00", "")
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
	return strings.Contains(s, "\n.\n")
}

func FuzzBody(f *testing.F) {
	for _, form := range lookalikes {
		f.Add([]byte("a"+form+"b\r\n.\r\n"), 3)
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		forwarded, v, _ := scanAll(bytes.Clone(stream), []int{piece})
		whole, wv, _ := scanAll(bytes.Clone(stream), []int{1 << 20})
		if !bytes.Equal(forwarded, whole) || v != wv {
			t.Fatalf("split changes the meaning: %q %d, %q %d", forwarded, v, whole, wv)
		}
		if !bytes.HasPrefix(stream, forwarded) {
			t.Fatal("forwarded octets are not the stream's")
		}
		if lenientEnd(forwarded) {
			t.Fatalf("an MTA may see an end of data in %q", forwarded)
		}
	})
}

func BenchmarkBodyScan(b *testing.B) {
	p := bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), 800)
	b.SetBytes(int64(len(p)))
	var body Body
	for b.Loop() {
		body.Scan(p)
	}
}
