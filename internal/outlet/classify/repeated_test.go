package classify

import "testing"

// What stands in the message is not the MX's word, wherever it stands; the MX's own words stay, and so do its codes.
//
// law: I20
func TestWithoutRepeated(t *testing.T) {
	const message = "To: \"your IP is listed at\" <b@example.net>\r\nContent-Type: application/octet-stream;\r\n\tname=\"Your IP is\r\n listed at zen.spamhaus.org.exe\"\r\n\r\n" +
		"See http://zen.spamhaus.org/blocked/203.0.113.10 now, 550 5.7.1.\r\n"
	for _, c := range []struct {
		reply, want string
		found       bool
	}{
		{"554 5.7.1 BANNED: Your IP is listed at zen.spamhaus.org.exe", "554 5.7.1 BANNED: xxxx xx xx xxxxxx xx xxx.xxxxxxxx.xxx.xxx", true},
		{"554 5.7.1 link zen.spamhaus.org/blocked/203.0.113.10 refused", "554 5.7.1 link xxx.xxxxxxxx.xxx/xxxxxxx/203.0.113.10 refused", true},
		{"550 5.7.1 Client host [203.0.113.10] blocked using zen.spamhaus.org", "550 5.7.1 Client host [203.0.113.10] blocked using xxx.xxxxxxxx.xxx", true},
		{"550 5.7.1 Your IP is on our block list", "550 5.7.1 Your IP is on our block list", false},
		{"550", "550", false},
		{"", "", false},
	} {
		if got, found := WithoutRepeated(c.reply, []byte(message)); got != c.want || found != c.found {
			t.Errorf("%q: %q %t, want %q %t", c.reply, got, found, c.want, c.found)
		}
	}
	rules, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reply string
		want  Suspend
	}{
		{"554 5.7.1 BANNED: Your IP is listed at zen.spamhaus.org.exe", No},
		{"550 5.7.1 Service unavailable; Client host [203.0.113.10] blocked using bl.spamcop.net", Yes},
	} {
		text, _ := WithoutRepeated(c.reply, []byte(message))
		if v := rules.Classify(Query{Text: text, Phase: "dot"}); v.Suspend != c.want {
			t.Errorf("%q: %v by %q, want %v", c.reply, v.Suspend, v.Rule, c.want)
		}
	}
}
