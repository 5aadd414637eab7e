package smtp

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
)

// readReplies reads replies from a stream that comes in pieces of the sizes given, in turn, until the stream ends or a reply is bad.
func readReplies(stream string, pieces ...int) (replies []string, err error) {
	r := NewReader(&piecewise{stream: stream, pieces: pieces})
	var p Reply
	for {
		ok, err := r.Reply(&p)
		switch {
		case err != nil:
			return replies, err
		case ok:
			replies = append(replies, string(p.AppendRaw(nil)))
			p.Reset()
			continue
		}
		if err := r.Fill(); err != nil {
			if p.Begun() {
				replies = append(replies, "(unfinished)")
			}
			return replies, nil
		}
	}
}

// law: B13 B14 I7
func TestReply(t *testing.T) {
	long := strings.Repeat("x", 5110)
	for name, c := range map[string]struct {
		stream string
		want   string // replies, separated by |; lines by /
		err    error
	}{
		"one line":                {"250 ok\r\n", "250 ok", nil},
		"no text":                 {"250\r\n", "250 ", nil},
		"no text but a blank":     {"250 \r\n", "250 ", nil},
		"several lines":           {"250-a\r\n250-b\r\n250 c\r\n", "250-a/250-b/250 c", nil},
		"last line bare (R6)":     {"553-no\r\n553\r\n", "553-no/553 ", nil},
		"first line bare":         {"250-\r\n250 c\r\n", "250-/250 c", nil},
		"LF only":                 {"250-a\n250 b\n", "250-a/250 b", nil},
		"two in one write":        {"250 a\r\n354 b\r\n", "250 a|354 b", nil},
		"codes change (R6)":       {"220-woot\r\n221-more\r\n220 done\r\n", "220-woot/220-more/220 done", nil},
		"class changes":           {"250-woot\r\n550 done\r\n", "550-woot/550 done", nil},
		"change to garbage":       {"250-woot\r\n650 done\r\n", "", ErrBadReply},
		"garbage within (R6)":     {"250-a\r\nfoo\r\n250 c\r\n", "", ErrBadReply},
		"850 (R5)":                {"850 NONSENSE\r\n", "", ErrBadReply},
		"600":                     {"600 x\r\n", "", ErrBadReply},
		"199":                     {"199 x\r\n", "", ErrBadReply},
		"000":                     {"000 x\r\n", "", ErrBadReply},
		"25 (R5)":                 {"25\r\n", "", ErrBadReply},
		"2500 (R5)":               {"2500 OK\r\n", "", ErrBadReply},
		"250OK (R5)":              {"250OK\r\n", "", ErrBadReply},
		"25O":                     {"25O OK\r\n", "", ErrBadReply},
		"tab (R5)":                {"250\t OK\r\n", "", ErrBadReply},
		"words (R5)":              {"not really\r\n", "", ErrBadReply},
		"empty line (R5)":         {"\r\n", "", ErrBadReply},
		"blank in front":          {" 250 ok\r\n", "", ErrBadReply},
		"overlong line (R7)":      {"550 " + long + "\r\n250 ok\r\n", "550 " + long[:1996] + "|250 ok", nil},
		"overlong then more (R7)": {"500-" + long + "\r\n500 x\r\n", "500-" + long[:1996] + "/500 x", nil},
		"overlong garbage (R7)":   {long + "\r\n250 ok\r\n", "", ErrBadReply},
		"controls (R9)":           {"550 caf\xe9 \x1b[2J \x00 \r foo\r\n", "550 caf\xe9 \x1b[2J \x00 \r foo", nil},
		"CR hides nothing (R9)":   {"550 no\r250 yes\r\n", "550 no\r250 yes", nil},
		"CR only (R9)":            {"550 no\r", "(unfinished)", nil},
		"no last line":            {"250-a\r\n", "(unfinished)", nil},
		"fragment":                {"25", "(unfinished)", nil},
		"endless lines (R6)":      {strings.Repeat("250-x\r\n", 200_000), "", ErrReplyTooLong},
		"endless line":            {"250 " + strings.Repeat("x", 2<<20), "", ErrReplyTooLong},
	} {
		for _, pieces := range [][]int{{1 << 20}, {1}, {2, 3}, {1000, 7}} {
			if len(c.stream) > 1<<19 && pieces[0] < 100 {
				continue
			}
			got, err := readReplies(c.stream, pieces...)
			joined := strings.ReplaceAll(strings.Join(got, "|"), "\n", "/")
			if joined != c.want || !errors.Is(err, c.err) {
				t.Errorf("%s in pieces of %v: %.300q, %v; want %.300q, %v", name, pieces, joined, err, c.want, c.err)
			}
		}
	}
}

// Lines that are none are dropped inside a reply, where that is asked for, and nowhere else.
//
// law: B13
func TestReplyTolerates(t *testing.T) {
	for in, want := range map[string]string{
		"554-a\r\n\r\n554 b\r\n":                                    "554-a\n554 b",
		"554-a\r\nfoo\r\n554x\r\n554\r\n":                           "554-a\n554 ",
		"250-a\n\n\n" + strings.Repeat("x", 5000) + "\r\n250 b\r\n": "250-a\n250 b",
		"554-a\r\n\r\n250 b\r\n":                                    "malformed",
		"\r\n554 a\r\n":                                             "malformed",
		"25O-a\r\n250 a\r\n":                                        "malformed",
		"554-a\r\n\r\n":                                             "unfinished",
	} {
		var reply Reply
		reply.Tolerate()
		r := NewReader(&piecewise{stream: in, pieces: []int{3, 1, 700}})
		var ok bool
		var err error
		for !ok && err == nil {
			if ok, err = r.Reply(&reply); !ok && err == nil && r.Fill() != nil {
				break
			}
		}
		got := "unfinished"
		switch {
		case errors.Is(err, ErrBadReply):
			got = "malformed"
		case ok:
			got = string(reply.AppendRaw(nil))
		}
		if got != want || got != "malformed" && !reply.Junk() {
			t.Errorf("%.40q: %q, junk %t; want %q", in, got, reply.Junk(), want)
		}
	}
}

// law: B14
func TestReplyKeepsAtMost128Lines(t *testing.T) {
	got, err := readReplies(strings.Repeat("250-x\r\n", 1000)+"250 last\r\n250 next\r\n", 1<<20)
	if err != nil || len(got) != 2 || strings.Count(got[0], "\n") != maxReplyLines-1 || got[1] != "250 next" {
		t.Fatalf("%d replies, %v", len(got), err)
	}
	if last := got[0][strings.LastIndex(got[0], "\n")+1:]; last != "250 x" {
		t.Errorf("the last line kept is %q: it must end the reply", last)
	}
	got, err = readReplies(strings.Repeat("250-"+strings.Repeat("y", 1900)+"\r\n", 120)+"250 last\r\n", 1<<20)
	if err != nil || len(got) != 1 || len(got[0]) > maxReplySize+maxReplyLine+maxReplyLines*4 {
		t.Errorf("%d replies, the first of %d octets, %v", len(got), len(got[0]), err)
	}
}

// law: B14 I7
func TestAppendWire(t *testing.T) {
	for _, c := range []struct {
		text string
		utf8 bool
		want string
	}{
		{"ok", false, "550 ok\r\n"},
		{"", false, "550 \r\n"},
		{"a\nb\n", false, "550-a\r\n550-b\r\n550 \r\n"},
		{"tab\there", false, "550 tab here\r\n"},
		{"\x1b[2J\x00\r\x7f", false, "550 ?[2J???\r\n"},
		{"caf\xc3\xa9", false, "550 caf??\r\n"},
		{"caf\xc3\xa9", true, "550 caf\xc3\xa9\r\n"},
		{"caf\xe9", true, "550 caf?\r\n"},
		{"no\r250 yes", false, "550 no?250 yes\r\n"},
	} {
		p := Reply{Code: 550, text: []byte(c.text)}
		if got := string(p.AppendWire(nil, c.utf8)); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// R10: an enhanced code is one only if it is well-formed and of the code's class.
func TestEnhanced(t *testing.T) {
	for _, c := range []struct {
		code       int
		text, want string
	}{
		{250, "2.0.0 ok", "2.0.0"},
		{550, "5.7.1", "5.7.1"},
		{550, "5.7.1\nmore", "5.7.1"},
		{451, "4.123.456 x", "4.123.456"},
		{550, "2.1.5 ok", ""},
		{250, "5.1.1 no", ""},
		{354, "3.0.0 go", ""},
		{550, "5.7.1.2 x", ""},
		{250, "2.0.0.1w00t", ""},
		{250, "2.0.0w00t", ""},
		{550, "5.1234.1 x", ""},
		{550, "5..1 x", ""},
		{550, "5.1. x", ""},
		{550, "5.1", ""},
		{550, "", ""},
	} {
		p := NewReply(c.code, "", c.text)
		if got := p.Enhanced(); got != c.want {
			t.Errorf("%d %q: %q, want %q", c.code, c.text, got, c.want)
		}
	}
}

func TestNewReply(t *testing.T) {
	p := NewReply(451, "4.4.2", "lost")
	if got := string(p.AppendWire(nil, false)); got != "451 4.4.2 lost\r\n" || p.Enhanced() != "4.4.2" || p.Class() != 4 || p.Positive() {
		t.Errorf("%q, %q, class %d", got, p.Enhanced(), p.Class())
	}
}

func TestResetForgetsTheReply(t *testing.T) {
	p := NewReply(550, "5.1.1", strings.Repeat("x", 5000))
	if p.Reset(); p.Begun() || p.Code != 0 || len(p.Text()) != 0 || cap(p.text) > 1024 {
		t.Errorf("%+v, %d octets kept", p, cap(p.text))
	}
}

var wireForm = regexp.MustCompile(`^([2-5][0-9]{2}-[ -~]*\r\n)*[2-5][0-9]{2} [ -~]*\r\n$`)

func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"250 ok\r\n", "250-a\r\n250 b\r\n", "220-woot\r\n221-more\r\n", "553-\r\n553\r\n", "250\n354 x\n", "550 5.7.1 caf\xe9 \x1b[2J\x00\r foo\r\n",
		"220-mx ESMTP\r\n521 5.7.1 blocked\r\n", "250-ok\r\n550-no\r\n250 ok\r\n", "250-queued\r\n354 go\r\n", "550-no\r\n199 x\r\n",
		"250\t ok\r\n", "25", "\r\n", "250 " + strings.Repeat("x", 2100) + "\r\n250 y\r\n",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		whole, err := readReplies(string(stream), 1<<20)
		cut, cutErr := readReplies(string(stream), max(1, piece&0xfff))
		if strings.Join(whole, "|") != strings.Join(cut, "|") || !errors.Is(cutErr, err) {
			t.Fatalf("split changes the meaning: %q %v, %q %v", whole, err, cut, cutErr)
		}
		r := NewReader(&piecewise{stream: string(stream), pieces: []int{1 << 20}})
		var p Reply
		_ = r.Fill()
		if ok, err := r.Reply(&p); !ok || err != nil {
			return
		}
		wire := p.AppendWire(nil, false)
		if !wireForm.Match(wire) || p.Class() < 2 || p.Class() > 5 {
			t.Fatalf("%q is sent on as %q", stream, wire)
		}
		if again, err := readReplies(string(wire), 1<<20); err != nil || len(again) != 1 || !bytes.HasPrefix(wire, []byte(again[0][:3])) {
			t.Fatalf("%q does not read as one reply: %q, %v", wire, again, err)
		}
	})
}

// Lines of different codes make one reply, with the last one's code: RFC 5321 §4.2.1 forbids them to the server, and postscreen
// tells of a listing in no other way. What was said on the way is not forgotten.
//
// law: B13
func TestReplyOfSeveralCodes(t *testing.T) {
	for stream, want := range map[string]struct {
		code, mixed int
		contradicts bool
		enhanced    string
		wire        string
	}{
		"220-mx\r\n521 5.7.1 no\r\n":               {521, 220, true, "5.7.1", "521-mx\r\n521 5.7.1 no\r\n"},
		"250-2.0.0 ok\r\n250 2.0.0 ok\r\n":         {250, 0, false, "2.0.0", "250-2.0.0 ok\r\n250 2.0.0 ok\r\n"},
		"250-2.0.0 ok\r\n251 2.1.5 elsewhere\r\n":  {251, 250, false, "2.1.5", "251-2.0.0 ok\r\n251 2.1.5 elsewhere\r\n"},
		"550-5.7.1 no\r\n250 2.0.0 ok\r\n":         {250, 550, true, "2.0.0", "250-5.7.1 no\r\n250 2.0.0 ok\r\n"},
		"450-4.7.1 slow\r\n550 5.7.1 no\r\n":       {550, 450, false, "5.7.1", "550-4.7.1 slow\r\n550 5.7.1 no\r\n"},
		"250-ok\r\n550-no\r\n250 ok\r\n":           {250, 550, true, "", "250-ok\r\n250-no\r\n250 ok\r\n"},
		"354-go\r\n250 2.0.0 ok\r\n":               {250, 354, true, "2.0.0", "250-go\r\n250 2.0.0 ok\r\n"},
		"421-4.3.2 bye\r\n421 4.3.2 bye\r\n":       {421, 0, false, "4.3.2", "421-4.3.2 bye\r\n421 4.3.2 bye\r\n"},
		"220-mx\r\n450 4.3.2 Service overload\r\n": {450, 220, true, "4.3.2", "450-mx\r\n450 4.3.2 Service overload\r\n"},
	} {
		r := NewReader(&piecewise{stream: stream, pieces: []int{1 << 20}})
		var p Reply
		_ = r.Fill()
		if ok, err := r.Reply(&p); !ok || err != nil {
			t.Errorf("%q: %t, %v", stream, ok, err)
			continue
		}
		if p.Code != want.code || p.Mixed() != want.mixed || p.Contradicts() != want.contradicts || p.Enhanced() != want.enhanced {
			t.Errorf("%q: %d, mixed %d, contradicts %t, enhanced %q", stream, p.Code, p.Mixed(), p.Contradicts(), p.Enhanced())
		}
		if wire := string(p.AppendWire(nil, false)); wire != want.wire {
			t.Errorf("%q is sent on as %q", stream, wire)
		}
		if p.Reset(); p.Mixed() != 0 || p.Contradicts() {
			t.Errorf("%q: a reset reply remembers its codes", stream)
		}
	}
}

// A part of a reply for the record is how it begins, and what is missing is counted.
func TestAppendRawPart(t *testing.T) {
	for _, wire := range []string{"250 ok\r\n", "250-a\r\n250-\r\n250 " + strings.Repeat("b", 40) + "\r\n", "550 \r\n"} {
		var p Reply
		r := NewReader(&piecewise{stream: wire, pieces: []int{1 << 20}})
		if err := r.Fill(); err != nil {
			t.Fatal(err)
		}
		if ok, err := r.Reply(&p); !ok || err != nil {
			t.Fatal(ok, err)
		}
		whole := string(p.AppendRaw(nil))
		for most := range len(whole) + 2 {
			got, left := p.AppendRawPart([]byte("before"), most)
			want := whole[:min(most, len(whole))]
			if string(got) != "before"+want || left != len(whole)-len(want) {
				t.Errorf("%d octets of %q: %q, %d left", most, whole, got, left)
			}
		}
	}
}
