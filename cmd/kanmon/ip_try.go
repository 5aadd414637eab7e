package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

type ipTryCommand struct {
	adminFlag
	MX        netip.Addr `name:"mx" help:"Address of the MX. Only its port 25 is asked." placeholder:"ADDRESS"`
	Domain    string     `help:"In place of --mx: a domain; the MX that its mail is tried at first is asked." placeholder:"DOMAIN"`
	From      string     `help:"Only from these sending IPs: an address, a network, or the name of a pool; default: all." placeholder:"PATTERN"`
	Sender    string     `help:"Sender to name in MAIL; \"<>\" is the null sender. Without one nothing is said behind EHLO." placeholder:"ADDRESS"`
	Recipient string     `help:"Recipient to name in RCPT, together with --sender." placeholder:"ADDRESS"`
	Reason    string     `help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run has an MX asked from each sending IP, and waits for all answers.
func (k *ipTryCommand) Run(c *console) error {
	client, unread, err := k.client()
	if err != nil {
		return err
	}
	ctx := context.Background()
	try, err := client.Try(ctx, admin.TryOrder{MX: k.MX.Unmap(), Domain: k.Domain, From: k.From, Sender: k.Sender, Recipient: k.Recipient, Reason: k.Reason})
	for tick := 100 * time.Millisecond; err == nil && !try.Over; tick = min(2*tick, time.Second) {
		time.Sleep(tick)
		try, err = client.Tried(ctx, try.ID)
	}
	if err != nil {
		return unheard(err, unread)
	}
	if k.JSON {
		out := json.NewEncoder(c.stdout)
		out.SetIndent("", "  ")
		return out.Encode(try)
	}
	return printTry(c.stdout, &try)
}

// What stands in the columns of a try.
var tryColumns = []struct{ phase, title string }{
	{event.PhaseDial.String(), "CONNECT"},
	{event.PhaseBanner.String(), "BANNER"},
	{event.PhaseEHLO.String(), "EHLO"},
	{event.PhaseHandshake.String(), "TLS"},
	{event.PhaseMail.String(), "MAIL"},
	{event.PhaseRcpt.String(), "RCPT"},
}

// printTry shows the dialogues side by side, then what was refused, and what that means.
func printTry(w io.Writer, try *admin.Try) error {
	asked := []string{"MX " + try.MX.String()}
	if try.Host != "" {
		asked[0] += " (" + event.Printable(try.Host, 100) + ", of " + shownName(try.Domain) + ")"
	}
	if try.Provider != "" {
		asked = append(asked, "provider "+shownName(try.Provider))
	}
	fmt.Fprintln(w, strings.Join(append(asked, "no message was sent"), "; "))
	head := "\nSENDING IP\tSTANDS"
	for _, c := range tryColumns {
		head += "\t" + c.title
	}
	table := newTable(w, head+"\tCAME TO")
	for i := range try.Dialogues {
		d := &try.Dialogues[i]
		fmt.Fprintf(table, "%s\t%s", d.IP, cmp.Or(firstWord(d.Stands), "active"))
		for _, c := range tryColumns {
			fmt.Fprintf(table, "\t%s", tryCell(d, c.phase))
		}
		fmt.Fprintf(table, "\t%s\n", strings.ReplaceAll(d.State, "_", " "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, l := range try.LeftOut {
		fmt.Fprintf(w, "%s was not tried: %s\n", l.IP, event.Printable(l.Why, 300))
	}
	for i := range try.Dialogues {
		printTrouble(w, &try.Dialogues[i])
	}
	return nil
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return strings.TrimSuffix(word, ",")
}

// tryCell is the code of a step's reply, and how long it took.
func tryCell(d *admin.TryDialogue, phase string) string {
	for _, s := range d.Steps {
		if s.Phase != phase {
			continue
		}
		took := fmt.Sprintf("%.2f s", s.Took)
		if s.Code == 0 {
			return took
		}
		return fmt.Sprintf("%d %s", s.Code, took)
	}
	return "-"
}

// printTrouble shows each refusal of a dialogue, and what has ended it too early.
func printTrouble(w io.Writer, d *admin.TryDialogue) {
	for _, s := range d.Steps {
		if s.Class == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s, %s: %s: %s\n", d.IP, s.Phase, s.Class, s.Meaning)
		for line := range strings.SplitSeq(s.Reply, "\n") {
			fmt.Fprintf(w, "    %s\n", event.Printable(line, 512))
		}
		if s.Advice != "" {
			fmt.Fprintf(w, "  do: %s\n", s.Advice)
		}
	}
	if d.Ended != "" {
		fmt.Fprintf(w, "\n%s: %s\n", d.IP, event.Printable(d.Ended, 300))
	}
}
