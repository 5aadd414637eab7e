package guide

import "strings"

// An Exception is a command that the machine of test/systemd does not type, and what runs it instead, or why nothing can. A text that ends in "…"
// is the beginning of one.
type Exception struct{ Text, Why string }

// Exceptions are all of them.
var Exceptions = []Exception{
	{"make demo", "TestDemo in test/netns"},
	{"make build man", "make test-packages builds by it"},
	{"make man", "make test-packages builds by it"},
	{"make install", "TestAnInstallationWritesOverNothingThatAnOperatorHasChanged in packaging"},
	{"podman …", "make test-packages builds the image and runs it by other tools of that kind"},
	{"postconf …", "TestTutorialObservesAndRollsBack in test/netns has the Postfix that it asks"},
	{"ip -4 rule delete …", "only tproxy mode has these rules: the step \"policy rules deleted\" of test/systemd"},
	{"systemctl edit …", "opens an editor"},
	{"systemctl kill --kill-who=main kanmon", "cuts sessions of a stop that takes its time, and the one of its page does not"},
	{"kanmon ip try …", "ip_try.txtar in cmd/kanmon, and with a real MX TestTryShowsWhomAnMXRefuses in test/netns"},
	{"kanmon sessions end …", "live.txtar in cmd/kanmon, and with a real MSA TestSessionEndsByOrder in test/netns"},
	{"kanmon ip warm …", "ip_warm.txtar in cmd/kanmon"},
	{"kanmon ip warm", "ip_warm.txtar in cmd/kanmon"},
	{"kanmon web user …", "it asks for a password: the step \"the page is opened\" of test/systemd"},
	{"kanmon trace …", "live.txtar in cmd/kanmon: it goes on until somebody ends it"},
	{"kanmon mail …", "past_test.go in cmd/kanmon, where there is a past to find something in"},
	{"kanmon refusals …", "past_test.go in cmd/kanmon"},
	{"kanmon waiting", "past_test.go in cmd/kanmon"},
	{"kanmon provider show …", "past_test.go in cmd/kanmon"},
	{"kanmon timeline …", "past_test.go in cmd/kanmon"},
	{"kanmon handover", "it ends kanmon: TestTwoGatewaysByVRRP in test/netns"},
	{"systemctl enable --now keepalived", "that machine has none: TestTwoGatewaysByVRRP in test/netns runs it by itself"},
	{"kanmon ip show", "names a command; the page that explains it has it whole"},
	{"kanmon explain", "names a command; the page that explains it has it whole"},
}

// Is reports whether a command is one that it is about.
func (e Exception) Is(c Command) bool {
	if begins, cut := strings.CutSuffix(e.Text, "…"); cut {
		return strings.HasPrefix(c.Text, begins)
	}
	return c.Text == e.Text
}

// Excepted says why a command is not typed, or "".
func Excepted(c Command) string {
	for _, e := range Exceptions {
		if e.Is(c) {
			return e.Why
		}
	}
	return ""
}
