package check

import (
	"os"
	"strings"
)

// told is a site where people are told of what has happened.
const told = viewed + "[[notify_mail]]\nname = 'a'\nto = 'a@gw.example.jp'\nfrom = 'k@gw.example.jp'\n"

// notifyRows: mail needs none of it, and whoever is to be told wants to know why he is not.
func notifyRows() []row {
	const (
		bySmarthost = told + "smarthost = 'smtp.example.jp:465'\n"
		withLogin   = bySmarthost + "user = 'k'\npassword_file = 'DIR/password'\n"
		hook        = viewed + "[[notify_webhook]]\nname = 'h'\nurl = 'https://hook.example.jp'\nsecret_file = 'DIR/secret'\n"
		bySendmail  = told + "sendmail = '/bin/sh'\n"
	)
	withFile := func(name string, mode os.FileMode) func(*rig) {
		return func(r *rig) { withViewUser(r); file(name, "x")(r); r.mode(name, mode) }
	}
	local := strings.Replace(bySendmail, "[intercept]\n", "[intercept]\nlocal = true\n", 1)
	return []row{
		{id: "notify-without-history", name: "no history", doc: strings.Replace(bySmarthost, "[history]\nrecords = 'DIR/log/records.jsonl'\ndirectory = 'DIR/history'\n", "", 1), want: "notify_mail[0]: nobody is told of anything", host: withViewUser, good: bySmarthost, goodHost: withViewUser},
		{id: "notify-through-kanmon", name: "sendmail of this host", doc: local, want: "notify_mail[0].sendmail: what /bin/sh sends to port 25 of others goes through kanmon", host: withViewUser, good: bySendmail, goodHost: withViewUser},
		{id: "notify-unreadable", name: "password of root", doc: withLogin, want: "notify_mail[0].password_file: DIR/password cannot be read by user nobody: permission denied", host: withFile("password", 0o600), good: withLogin, goodHost: withFile("password", 0o644)},
		{id: "notify-unreadable", name: "no secret", doc: hook, want: "notify_webhook[0].secret_file: DIR/secret cannot be read by user nobody: no such file", host: withViewUser, good: hook, goodHost: withFile("secret", 0o644)},
	}
}
