package session_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"

	"kanmon/internal/smtp/smtptest"
)

// A refusal behind RCPT is about the recipients that the MX has accepted, and not about those that it has refused, though they were named
// first; one of a command that is said again through another sending IP is about that command's recipient.
//
// law: I19
func TestTheJudgeIsToldWhoseDomainARefusalIsAbout(t *testing.T) {
	const gone, listed = "550 5.1.1 no such user\r\n", "550 5.7.1 your IP address is listed\r\n"
	for _, test := range []struct {
		name         string
		to           []string
		mx, second   map[string]string // by verb and number
		one, another string            // domain of the first judgement that may be rescued, and of the one behind it
	}{
		{"to the dot", []string{"a@one.example"}, map[string]string{".1": listed}, nil, "one.example", ""},
		{"several of a domain", []string{"a@one.example", "b@ONE.example"}, map[string]string{".1": listed}, nil, "one.example", ""},
		{"the first was refused", []string{"dead@innocent.example", "a@one.example"}, map[string]string{"RCPT1": gone, ".1": listed}, nil, "one.example", ""},
		{"likewise, to DATA", []string{"dead@innocent.example", "a@one.example"}, map[string]string{"RCPT1": gone, "DATA1": listed}, nil, "one.example", ""},
		{"several domains", []string{"a@one.example", "a@two.example"}, map[string]string{".1": listed}, nil, "", ""},
		{"none", []string{"postmaster"}, map[string]string{".1": listed}, nil, "", ""},
		{"one, and none", []string{"a@one.example", "postmaster"}, map[string]string{".1": listed}, nil, "", ""},
		{"at RCPT", []string{"a@one.example", "a@two.example"}, map[string]string{"RCPT2": listed}, nil, "two.example", ""},
		{"said again", []string{"a@one.example", "a@two.example"}, map[string]string{".1": listed}, map[string]string{"RCPT2": listed}, "", "two.example"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(2)
			for mx, replies := range map[*smtptest.MX]map[string]string{&r.mx: test.mx, r.mxs[1]: test.second} {
				mx.Reply = func(verb string, n int) string {
					if reply, found := replies[fmt.Sprintf("%s%d", verb, n)]; found {
						return reply
					}
					return smtptest.Default
				}
			}
			msa := r.msa(t)
			_ = msa.Deliver("a@example.com", test.to, []byte("text\r\n"), false)
			_ = msa.Quit()
			synctest.Wait()
			var about []string
			for _, asked := range r.judge.asked {
				if bytes.Contains(asked.Text, []byte("listed")) {
					about = append(about, asked.Domain)
				}
			}
			want := []string{test.one}
			if test.second != nil {
				want = append(want, test.another)
			}
			if len(about) != len(want) || about[0] != want[0] || about[len(about)-1] != want[len(want)-1] {
				t.Errorf("%s: about %q, want %q", test.name, about, want)
			}
		})
	}
}
