package smtp

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const sentBy = "X-Sent-By"

// filtered is what came of a message.
type filtered struct {
	passed string
	fields string // parted by "|"; "!" behind one that is cut
	before int    // octets that had passed at the end of the header
}

// joined gives fields as they stand in a filtered.
func joined(fields []HeaderField) string {
	var texts []string
	for _, f := range fields {
		if f.Cut {
			f.Text += "!"
		}
		texts = append(texts, f.Text)
	}
	return strings.Join(texts, "|")
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// filter puts a message through in pieces of the sizes that next gives.
func filter(t fataler, message, name string, strip bool, next func() int) (got filtered) {
	return filterWith(t, NewHeaderFilter(name, strip), message, next)
}

func filterWith(t fataler, h *HeaderFilter, message string, next func() int) (got filtered) {
	var out []byte
	ended := false
	see := func(pass []byte, over bool) {
		out = append(out, pass...)
		if len(h.held) > maxHeld || len(h.value.text) > maxValue || len(h.fields) > maxFields {
			t.Fatalf("%d octets held back, %d of the value, %d fields", len(h.held), len(h.value.text), len(h.fields))
		}
		if !over {
			return
		}
		if ended {
			t.Fatalf("%q: over twice", message)
		}
		ended, got.fields, got.before = true, joined(h.Fields()), len(out)
	}
	for rest := message; len(rest) > 0; {
		piece := []byte(rest[:min(len(rest), max(1, next()))])
		rest = rest[len(piece):]
		for steps := 0; len(piece) > 0; steps++ {
			if h.Done() {
				see(piece, false)
				break
			}
			pass, n, over := h.Take(piece)
			see(bytes.Clone(pass), over)
			if piece = piece[n:]; steps > 4*len(message)+4 {
				t.Fatalf("%q: no progress", message)
			}
		}
	}
	see(h.End())
	if !ended {
		t.Fatalf("%q: never over", message)
	}
	got.passed = string(out)
	return got
}

// naive is what the filter must do, said of the whole message.
func naive(message, name string, strip bool) (want filtered) {
	inHeader, inField, cut := true, false, false
	var out, value strings.Builder
	var fields []HeaderField
	end := func() {
		if inField {
			text := strings.Trim(strings.ReplaceAll(value.String(), "\r\n", ""), " \t")
			text = blanks.ReplaceAllString(text, " ")
			cut = cut || len(text) > maxValue
			fields = append(fields, HeaderField{text[:min(len(text), maxValue)], cut})
		}
		inField, cut = false, false
		value.Reset()
	}
	want.before = -1
	for _, line := range strings.SplitAfter(message, "\r\n") {
		text := strings.TrimPrefix(line, ".")
		switch {
		case !inHeader || line == "":
		case inField && (strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t")):
		default:
			end()
			inHeader = line != "\r\n"
			start := line[:min(len(line), maxHeld)]
			word, _, colon := strings.Cut(start, ":")
			is := strings.EqualFold(strings.TrimRight(strings.TrimPrefix(word, "."), " \t"), name)
			cut = is && !colon && len(line) > maxHeld && len(start) > len(name)
			inField = inHeader && is && (colon || cut)
			_, text, _ = strings.Cut(line, ":")
			if cut {
				text = ""
			}
		}
		if inField && line != "" {
			if !strings.HasSuffix(text, "\r\n") {
				text = strings.TrimSuffix(text, "\r")
			}
			value.WriteString(text)
		}
		if !inField || line == "" || !strip {
			out.WriteString(line)
		}
		if !inHeader && want.before < 0 {
			want.before = out.Len()
		}
	}
	end()
	if want.before < 0 {
		want.before = out.Len()
	}
	if n := len(fields); n > maxFields {
		fields = append(fields[:maxFields-2], HeaderField{fields[n-2].Text, true}, fields[n-1])
	}
	want.passed, want.fields = out.String(), joined(fields)
	return want
}

var blanks = regexp.MustCompile(`[ \t]+`)

// headers are messages, with what is left of each without the field; "same": all of it.
var headers = []struct{ message, rest, fields string }{
	{"X-Sent-By: a@b\r\nTo: c\r\n\r\ntext\r\n", "To: c\r\n\r\ntext\r\n", "a@b"},
	{"To: c\r\nx-SENT-by \t:<a@b>\r\n\r\ntext\r\n", "To: c\r\n\r\ntext\r\n", "<a@b>"},
	{"To: c\r\nX-Sent-By:\r\n a@b\r\n\t(or so) \r\nCc: d\r\n e\r\n\r\n", "To: c\r\nCc: d\r\n e\r\n\r\n", "a@b (or so)"},
	{"X-Sent-By: a\r\nTo: c\r\nX-Sent-By: b\r\n\r\nX-Sent-By: d\r\n", "To: c\r\n\r\nX-Sent-By: d\r\n", "a|b"},
	{"X-Sent-By: a\r\nX-Sent-By: b\r\n\tc\r\n\r\n", "\r\n", "a|b c"},
	{"X-Sent-By: a\r\nX-Sent-By:\r\nX-Sent-By: <>\r\n\r\n", "\r\n", "a||<>"},
	{"X-Sent-By: a\r\nX-Sent-By: b\r\nX-Sent-By: c\r\nX-Sent-By: d\r\nX-Sent-By: e\r\nX-Sent-By: f\r\nX-Sent-By: g\r\nX-Sent-By: h\r\nX-Sent-By: i\r\nX-Sent-By: j\r\n", "", "a|b|c|d|e|f|i!|j"},
	{"X-Sent-By: " + strings.Repeat(" \t", maxValue) + "a@b\r\n\r\n", "\r\n", "a@b"},
	{"X-Sent-By: a" + strings.Repeat("b", maxValue) + "\r\n\r\n", "\r\n", "a" + strings.Repeat("b", maxValue-1) + "!"},
	{"X-Sent-By: a" + strings.Repeat("b", maxValue-1) + " \r\n\r\n", "\r\n", "a" + strings.Repeat("b", maxValue-1)},
	{"X-Sent-By" + strings.Repeat(" ", maxHeld) + ": a\r\nTo: c\r\n\r\n", "To: c\r\n\r\n", "!"},
	{"X-Sent-By" + strings.Repeat(" ", maxHeld-10) + ": a\r\nTo: c\r\n\r\n", "To: c\r\n\r\n", "a"},
	{"To: c\r\nX-Sent-By: a\r\n", "To: c\r\n", "a"}, // the body is missing
	{"X-Sent-By: a", "", "a"},                       // so is the line's end
	{"X-Sent-By:\r\n\r\n", "\r\n", ""},              // no value
	{"X-Sent-By: <\r\n\r\n", "\r\n", "<"},           // nor address
	{".X-Sent-By: a\r\n. b\r\n\r\n", "\r\n", "a b"}, // a receiver takes one dot away
	{"X-Sent-By: a\r\n.\tb\r\n.c\r\n", ".c\r\n", "a b"},
	{"X-Sent-By: a\nb\rc\x00\xff\r\n\r\n", "\r\n", "a\nb\rc\x00\xff"}, // bare CR and LF end no line
	{"X-Sent-By: a\r\r\n b\r\n\r\n", "\r\n", "a\r b"},
	{"no header\r\nX-Sent-By: a\r\n\r\n", "no header\r\n\r\n", "a"}, // not the header's end for everybody
	{"\r\nX-Sent-By: a\r\n", "same", ""},
	{"..X-Sent-By: a\r\n\r\n", "same", ""},
	{" X-Sent-By: a\r\n\r\n", "same", ""},
	{"X-Sent-By2: a\r\nX-Sent-B: a\r\nX-Sent-By\r\n: a\r\n\r\n", "same", ""},
	{"To: c\r\n X-Sent-By: a\r\n\r\n", "same", ""},
	{"To: c\nX-Sent-By: a\r\n\r\n", "same", ""},
	{"To: c\rX-Sent-By: a\r\n\r\n", "same", ""},
	{"\rX-Sent-By: a\r\n\r\n", "same", ""},
	{"\r\r\n\x00X-Sent-By: a\r\n\r\n", "same", ""},
	{strings.Repeat(" ", maxHeld) + "X-Sent-By: a\r\n\r\n", "same", ""}, // the first line of a header folds nothing
	{"text\r\n..\r\n...\r\n", "same", ""},
	{"X-Sent", "same", ""},
	{"", "same", ""},
}

func TestHeaderFilterAtEverySplit(t *testing.T) {
	for _, c := range headers {
		for cut := range len(c.message) + 2 {
			first := true
			size := func() int { // the last round is octet by octet
				if cut > len(c.message) {
					return 1
				}
				if first {
					first = false
					return cut
				}
				return len(c.message)
			}
			got := filter(t, c.message, sentBy, true, size)
			if want := strings.Replace(c.rest, "same", c.message, 1); got.passed != want {
				t.Fatalf("%q cut at %d: passed %q, want %q", c.message, cut, got.passed, want)
			}
			if got.fields != c.fields {
				t.Fatalf("%q cut at %d: fields %q, want %q", c.message, cut, got.fields, c.fields)
			}
			first = true
			if got := filter(t, c.message, sentBy, false, size); got.passed != c.message || got.fields != c.fields {
				t.Fatalf("%q cut at %d, not stripped: passed %q, fields %q", c.message, cut, got.passed, got.fields)
			}
		}
	}
}

// Behind the header octets are handed through where they are.
func TestHeaderFilterIsDone(t *testing.T) {
	for _, c := range []struct {
		header string
		strip  bool
		done   bool
	}{
		{"To: c\r\n\r\n", true, true},
		{"To: c\r\n\r\n", false, true},
		{"X-Sent-By: a\r\nTo: c\r\n", false, false},
		{"X-Sent-By: a\r\n\r\n", false, true},
		{"X-Sent-By: a\r\nTo: c\r\n", true, false},
		{"X-Sent-By: a\r\n", false, false},
		{"X-Sent-By: a\r\n.", false, false},
	} {
		h := NewHeaderFilter(sentBy, c.strip)
		for p := []byte(c.header); len(p) > 0; {
			_, n, _ := h.Take(p)
			p = p[n:]
		}
		if h.Done() != c.done {
			t.Errorf("%q, strip %t: done %t", c.header, c.strip, h.Done())
		}
		p := []byte("text\r\n")
		if pass, n, _ := h.Take(p); c.done && (n != len(p) || &pass[0] != &p[0]) {
			t.Errorf("%q, strip %t: %d octets, or others than those given", c.header, c.strip, n)
		}
	}
}

// Lines of 50 MB, of the field, of another, and of one that could become the field, in memory that does not depend on them.
func TestHeaderFilterWithEndlessLines(t *testing.T) {
	for _, c := range []struct {
		begin, of string
		strip     bool
		passes    bool
		value     int // octets
	}{
		{"X-Sent-By:", "x", true, false, maxValue},
		{"X-Sent-By:", "x", false, true, maxValue},
		{"X-Sent-By: a\r\n ", "\r", true, false, 1},
		{"X-Sent-By: a\r\n", " b\r\n", true, false, 400},
		{"X-Sent-By:", " ", true, false, 0},
		{"X-Sent-By", " ", true, false, 0},
		{"To:", "x", true, true, 0},
		{"", "\n", true, true, 0},
	} {
		h := NewHeaderFilter(sentBy, c.strip)
		passed := 0
		take := func(p []byte) {
			for len(p) > 0 {
				pass, n, _ := h.Take(p)
				passed += len(pass)
				p = p[n:]
			}
		}
		take([]byte(c.begin))
		piece := bytes.Repeat([]byte(c.of), 1<<16/len(c.of))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 50 << 20 / len(piece) {
			take(piece)
		}
		runtime.ReadMemStats(&after)
		pass, _ := h.End()
		passed += len(pass)
		if want := len(c.begin) + 50<<20/len(piece)*len(piece); c.passes && passed != want || !c.passes && passed != 0 {
			t.Errorf("%q and 50 MB: %d octets passed", c.begin, passed)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
			t.Errorf("%q and 50 MB: %d octets allocated", c.begin, grown)
		}
		got := 0
		for _, f := range h.Fields() {
			got += len(f.Text)
		}
		if got < c.value || got > maxValue || (got == 0) != (c.value == 0) {
			t.Errorf("%q and 50 MB: a value of %d octets", c.begin, got)
		}
	}
}

// Messages made of what a filter looks at: it does what can be said of the whole message in a few lines.
func TestHeaderFilterIsNaive(t *testing.T) {
	octets := rapid.StringOf(rapid.SampledFrom([]rune("aAbB.: \t<>\r\n")))
	parts := rapid.SliceOfN(rapid.OneOf(octets, rapid.SampledFrom([]string{"\r\n", "ab:", ".ab :", "\r\n ", "\r\n. ", "\r\n."})), 1, 12)
	rapid.Check(t, func(t *rapid.T) {
		message := strings.Join(parts.Draw(t, "parts"), "")
		name := rapid.SampledFrom([]string{"ab", "a", ".", ".a"}).Draw(t, "name")
		strip := rapid.Bool().Draw(t, "strip")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 7), 1, 8).Draw(t, "sizes")
		got := filter(t, message, name, strip, func() int {
			sizes = append(sizes[1:], sizes[0])
			return sizes[0]
		})
		if want := naive(message, name, strip); got != want {
			t.Fatalf("%q, field %q, strip %t:\n got %+v\nwant %+v", message, name, strip, got, want)
		}
	})
}

func FuzzHeaderFilter(f *testing.F) {
	for i, c := range headers {
		f.Add(c.message, sentBy, i%2 == 0, uint64(i))
	}
	f.Add("a:a:\r\nA :b\r\n.a: c\r\n", "a", true, uint64(1))
	f.Add(".a: c\r\n. d\r\n..: e\r\n", ".", true, uint64(2))
	f.Fuzz(func(t *testing.T, message, name string, strip bool, seed uint64) {
		if !isFieldName(name) {
			return
		}
		random := rand.New(rand.NewPCG(seed, 0))
		most := 1 + random.IntN(20)
		got := filter(t, message, name, strip, func() int { return 1 + random.IntN(most) })
		if want := naive(message, name, strip); got != want {
			t.Fatalf("%q, field %q, strip %t:\n got %+v\nwant %+v", message, name, strip, got, want)
		}
	})
}

// isFieldName says whether a field can have a name (RFC 5322 §3.6.8), and it is one that fits into a line.
func isFieldName(name string) bool {
	bad := func(c rune) bool { return c < 33 || c > 126 || c == ':' }
	return name != "" && len(name) < 100 && strings.IndexFunc(name, bad) < 0
}
