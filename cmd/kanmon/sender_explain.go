package main

import (
	"fmt"
	"io"
	"strings"

	"kanmon/internal/admin"
	"kanmon/internal/admin/explain"
)

// printReasons says how a sender's mail is treated, why, and what an operator can do.
func printReasons(w io.Writer, x admin.SenderDetail) error {
	r := &reasons{x: &x}
	name := "Tenant " + x.Tenant
	if x.Account != "" {
		name = fmt.Sprintf("Account %s of tenant %s", x.Account, x.Tenant)
	}
	r.say("%s", name)
	r.say("")
	for _, line := range explain.Sender(&x) {
		r.say("%s", line)
	}
	r.say("")
	r.actions()
	_, err := io.WriteString(w, r.text.String())
	return err
}

// reasons are sentences, one a line.
type reasons struct {
	text strings.Builder
	x    *admin.SenderDetail
}

func (r *reasons) say(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }

// actions are what an operator can do now.
func (r *reasons) actions() {
	x := r.x
	command := func(do, rest, what string) {
		line := "kanmon tenant " + do + " " + explain.ShellWord(x.Tenant)
		if x.Account != "" {
			line = "kanmon account " + do + " " + explain.ShellWord(x.Account) + " --tenant " + explain.ShellWord(x.Tenant)
		}
		r.say("  %s%s\n      %s", line, rest, what)
	}
	r.say("What you can do:")
	command("show", "", "see all numbers and the replies that counted")
	if x.Block != nil {
		command("unblock", "", "let it send again; what was counted is forgotten")
	} else if x.Level != admin.LevelNormal {
		command("unblock", "", "take it to normal at once; what was counted is forgotten, and fresh evidence contains it again")
	}
	switch {
	case x.Exempt != nil:
		command("unexempt", "", "let evidence contain it again")
	case x.Level != admin.LevelNormal && x.Block == nil:
		command("exempt", ` --for 24h --reason "…"`, "if you know that its mail is wanted: let it send whatever is refused")
	}
	if x.Level != admin.LevelNormal && x.Last != nil && x.Mark == nil {
		switch x.Last.Looks {
		case admin.KindList:
			command("kind", ` list --reason "…"`, "if it is a mailing list: what counts is its messages and its recipients, each once")
		case admin.KindForwarder:
			command("kind", ` forwarder --reason "…"`, "if it forwards strangers' mail: that counts for an account of its own, and holds nobody else's")
		}
	}
	if x.Block == nil {
		command("block", ` --reason "…"`, "stop all of its mail until you unblock it")
	}
	for i := range r.x.Limits {
		l := &r.x.Limits[i]
		if explain.NearEnd(l) && (l.Scope == "account") == (x.Account != "") {
			command("limit", " "+explain.ShellWord(l.Name)+" AMOUNT", fmt.Sprintf("give it another amount than %s", explain.Amount(l)))
		}
	}
}
