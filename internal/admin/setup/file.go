package setup

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Text is the configuration, with a word about each part. What is not said there is left at its default.
func (a *Answers) Text() string {
	f := &file{}
	f.say("kanmon's configuration, written by \"kanmon init\": " + a.purpose() + ".")
	f.say("What a key does: \"kanmon help intercept.sources\", kanmon.toml(5). After a change: kanmon check, then systemctl reload kanmon.")
	f.intercept(a)
	f.sendingIPs(a)
	f.tenants(a)
	f.records(a)
	f.next(a)
	return strings.ReplaceAll(f.String(), "\n\n\n", "\n\n")
}

func (a *Answers) purpose() string {
	switch a.Role {
	case Gateway:
		return "a gateway for other mail servers"
	case MSAHost:
		return "for the mail server of this host"
	default:
		return "it observes, and changes nothing"
	}
}

// A file grows from top to bottom.
type file struct{ strings.Builder }

func (f *file) line(format string, args ...any) { fmt.Fprintf(f, format+"\n", args...) }

// say writes comments.
func (f *file) say(lines ...string) {
	for _, l := range lines {
		f.line("%s", strings.TrimSuffix("# "+l, " "))
	}
}

func (f *file) intercept(a *Answers) {
	f.line("")
	f.say("A mail server that insists on TLS (\"encrypt\", \"dane\") needs one setting, or its mail waits: docs/howto/msa.md, and [tls] in kanmon.toml(5).")
	f.line("[intercept]")
	if a.Local {
		f.say("The mail of this host itself; what kanmon's own user sends is left alone.")
		f.line("local = true")
	}
	if len(a.Sources) == 0 {
		f.say("Mail of other hosts that goes through this one, too:", `sources = ["10.20.0.0/16"]`)
		return
	}
	f.say("Whose port 25 goes through kanmon: the mail servers behind this host. Forget no IPv6 network of theirs, or their mail by IPv6 leaves past kanmon.")
	f.line("sources = [")
	for _, n := range a.Sources {
		if n.Interface != "" {
			f.line("  %q, # %s", n.String(), n.Interface)
		} else {
			f.line("  %q,", n.String())
		}
	}
	f.line("]")
}

func (f *file) sendingIPs(a *Answers) {
	f.line("")
	if len(a.SendingIPs) == 0 {
		f.say("Without sending IPs kanmon observes: the kernel chooses the address as before, and the records tell what happens. To take over:",
			"[[sending_ip]]", `address = "203.0.113.10"         # an address of this host`, `ehlo    = "out10.example.jp"     # the name in its PTR`)
		return
	}
	f.say("Mail leaves from these addresses. The name of each is the one in its PTR, and leads back to the address.")
	for _, ip := range a.SendingIPs {
		f.line("[[sending_ip]]\naddress = %q\nehlo    = %q\n", ip.Address.String(), ip.EHLO)
	}
	f.say("Which of them a mail gets: pools and routes, docs/why/routing.md. Without any, each serves everybody.")
}

func (f *file) tenants(a *Answers) {
	f.line("")
	if len(a.Tenants) == 0 {
		f.say("Who sends. With tenants, one cannot take the room of another, and mail of a mail server that is nobody's is deferred.",
			"[[tenant]]", `name    = "acme"`, `sources = ["10.20.1.0/24"]`)
		return
	}
	f.say("Who sends. Mail of a mail server that is none of theirs is deferred, and stays in its queue.")
	for _, t := range a.Tenants {
		quoted := make([]string, len(t.Sources))
		for i, n := range t.Sources {
			quoted[i] = fmt.Sprintf("%q", n.String())
		}
		f.line("[[tenant]]\nname    = %q\nsources = [%s]\n", t.Name, strings.Join(quoted, ", "))
	}
}

func (f *file) records(a *Answers) {
	f.line("")
	f.say("What happened to each mail: /var/log/kanmon/session.log for people, records.jsonl for programs; never a body or a header.")
	f.line("[journal]")
	if a.Folders != nil {
		f.line("records     = %q\nsession_log = %q", filepath.Join(a.Folders.Logs, "records.jsonl"), filepath.Join(a.Folders.Logs, "session.log"))
	}
	f.say(`What they show of mail addresses: "clear" all, "domain" the domain alone.`)
	f.line("addresses = %q", a.Addresses)
	if a.Folders == nil {
		f.say(`records = "off"`, `session_log = "off"`)
		return
	}
	f.line("")
	f.say("What is to be known after a restart, and the socket of \"kanmon ip\" and the like. Under systemd these have their places by themselves.")
	f.line("[standing]\nfile = %q\n[senders]\nfile = %q", filepath.Join(a.Folders.State, "standing.db"), filepath.Join(a.Folders.State, "senders.db"))
	f.line("[admin]\nsocket = %q", filepath.Join(a.Folders.Runtime, "admin.sock"))
}

func (f *file) next(a *Answers) {
	if a.Role == Observe {
		return
	}
	f.line("")
	f.say("kanmon rescues what is refused because of a sending IP, and suspends that IP there. To see first what it would do:",
		"[rescue]", `mode = "observe"`, "",
		"Senders whose mail is refused by many receivers are shown and not stopped, until you say so:",
		"[containment]", "enforce = true")
}
