package mx

import (
	"strings"
	"testing"
)

// TestDialogueSplitEverywhere feeds a whole session cut in two at every octet: whatever the cut, the messages and the replies
// must be the same.
func TestDialogueSplitEverywhere(t *testing.T) {
	body := "one\r\n..two\r\n\r\n"
	session := "EHLO source\r\n" +
		"MAIL FROM:<a@b> SIZE=14\r\nRCPT TO:<c@d>\r\nDATA\r\n" + body + ".\r\n" +
		"MAIL FROM:<> SIZE=0 BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n" +
		"QUIT\r\n"
	want := []string{"250", "250", "250", "250", "250", "250", "250", "354", "250", "250", "250", "354", "250", "221"}
	for cut := range len(session) {
		server := new(Server)
		d := dialogue{server: server, listener: new(Listener)}
		var out []byte
		var do act
		for _, part := range []string{session[:cut], session[cut:]} {
			out, _, do = d.step([]byte(part), out)
		}
		if do != actClose {
			t.Fatalf("cut at %d: the session did not end with QUIT", cut)
		}
		if got := server.Stats(); got.Messages != 2 || got.Octets != int64(len(body)) || got.Wrong != 0 {
			t.Fatalf("cut at %d: %+v, want 2 messages with %d octets", cut, got, len(body))
		}
		var codes []string
		for line := range strings.Lines(string(out)) {
			codes = append(codes, line[:3])
		}
		if strings.Join(codes, " ") != strings.Join(want, " ") {
			t.Fatalf("cut at %d: replies %v, want %v", cut, codes, want)
		}
	}
}

func TestDialogueRefusesOtherSize(t *testing.T) {
	server := new(Server)
	d := dialogue{server: server, listener: new(Listener)}
	out, _, _ := d.step([]byte("MAIL FROM:<a@b> SIZE=4\r\nRCPT TO:<c@d>\r\nDATA\r\nab\r\n.\r\n"), nil)
	if before := string(out); !strings.HasSuffix(before, "\r\n") || strings.Contains(before, "554") {
		t.Fatalf("a message of the announced size is refused: %q", before)
	}
	out, _, _ = d.step([]byte("MAIL FROM:<a@b> SIZE=5\r\nRCPT TO:<c@d>\r\nDATA\r\nab\r\n.\r\n"), nil)
	if !strings.Contains(string(out), "554 5.6.0") || server.Stats().Wrong != 1 {
		t.Fatalf("a message of another size than announced is taken: %q, %+v", out, server.Stats())
	}
}

func TestStamp(t *testing.T) {
	for _, c := range []struct {
		line string
		want int64
	}{
		{string(appendStamp(nil, 123456789)), 123456789},
		{"250 2.0.0 queued\r\n", 0},
		{"250 2.0.0 queued at=soon\r\n", 0},
	} {
		if got := Stamp([]byte(c.line)); int64(got) != c.want {
			t.Errorf("Stamp(%q) = %d, want %d", c.line, got, c.want)
		}
	}
}
