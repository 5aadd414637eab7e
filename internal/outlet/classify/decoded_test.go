package classify

import (
	"encoding/base64"
	"strings"
	"testing"
)

// What a message says in another encoding is said by the message, too.
//
// law: I20
func TestWhatAMessageSaysEncodedIsRepeated(t *testing.T) {
	const said = "Client host is blocked using zen.spamhaus.org, please act"
	reply := `554 5.7.1 message refused, it says "` + said + `"`
	coded := base64.StdEncoding.EncodeToString([]byte("Hello,\r\n" + said + "\r\nbye"))
	broken := coded[:40] + "\r\n" + coded[40:]
	for name, message := range map[string]string{
		"as it is":            "Subject: x\r\n\r\n" + said + "\r\n",
		"base64":              "Content-Transfer-Encoding: base64\r\n\r\n" + broken + "\r\n",
		"quoted-printable":    "Subject: =?utf-8?q?caf=C3=A9?=\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nClient =\r\nhost is bl=6Fcked using ze=6E.spamhaus.org, ple=61se act\r\n",
		"a word of RFC 2047":  "To: =?utf-8?q?Client_host_is_blocked_using_zen=2Espamhaus=2Eorg=2C_please_act?= <a@b.example>\r\n\r\nx\r\n",
		"likewise, in base64": "X-Any: =?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(said)) + "?=\r\n\r\nx\r\n",
		"a name of RFC 2231":  "Content-Disposition: attachment;\r\n filename*=utf-8''Client%20host%20is%20blocked%20using%20zen.spamhaus.org%2C%20please%20act\r\n\r\nx\r\n",
	} {
		rest, found := WithoutRepeated(reply, Decoded([]byte(message)))
		if !found || strings.Contains(rest, "spamhaus") {
			t.Errorf("%s: %q", name, rest)
		}
	}
	if _, found := WithoutRepeated(reply, Decoded([]byte("Subject: x\r\n\r\nZm9v=\r\n=ZZ =?utf-8?b?%%?= a*=%zz\r\n"))); found {
		t.Error("what the message does not say is taken for said")
	}
}
