package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
)

type mailCommands struct {
	Find mailFindCommand `cmd:"" help:"Find mails by address, id or a whole bounce, and say what became of them."`
	Show mailShowCommand `cmd:"" help:"Say what became of one mail: each attempt, what was answered, what it means, what to do."`
}

// How a mail is told.
type tellFlags struct {
	Lang find.Lang `help:"Language: en or ja." default:"en" placeholder:"LANG"`
	For  string    `help:"Write to somebody about it: \"customer\", or \"postmaster\" of the receiver." enum:",customer,postmaster" default:"" placeholder:"WHOM"`
}

type mailFindCommand struct {
	pastFlag
	Term []string `arg:"" optional:"" help:"An address, @domain of recipients, a queue id of the MSA or the MX, a Message-ID, a session, an IP address. With - standard input is read: a bounce, or a list of addresses and ids, one a line."`
	File string   `help:"Read a bounce or a list from this file." short:"f" placeholder:"FILE"`
	spanFlags
	aboutFlags
	tellFlags
	Reason string `help:"The reason, for whoever reads later who looked for whom." placeholder:"TEXT"`
	CSV    bool   `name:"csv" help:"Print CSV: a row for each mail, or for each line of a list."`
	Most   int    `help:"How many mails are listed; default: ${default}." default:"20" placeholder:"NUMBER"`
}

// Help says what is found by what.
func (*mailFindCommand) Help() string {
	return `If one mail is found, it is shown as by "kanmon mail show". Queue ids of the MSA and Message-IDs are on record only with [journal] identify = true. A bounce is found without them by its recipient, its time and the reply it quotes; then it is marked as probable.`
}

// Run finds mails.
func (k *mailFindCommand) Run(c *console) error {
	terms, err := k.terms(c)
	if err != nil {
		return err
	}
	if k.Most < 1 || k.Most > history.MaxPage {
		return fmt.Errorf("--most %d: want 1 to %d", k.Most, history.MaxPage)
	}
	ctx := context.Background()
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	f, err := p.finder()
	if err != nil {
		return err
	}
	of := k.filter()
	if k.Since+k.From+k.To != "" {
		if of.From, of.To, err = k.between(find.LongAgo); err != nil {
			return err
		}
	}
	if len(terms) > 1 {
		var parsed []find.Term
		for _, written := range terms[:min(len(terms), find.MaxList)] {
			if term, err := find.Parse(written, f.Shown); err == nil { // what is none finds nobody
				parsed = append(parsed, term)
			}
		}
		p.searched(ctx, c, k.Reason, find.Noted(parsed)...)
		return k.list(ctx, c, f, terms, of)
	}
	return k.one(ctx, c, p, f, terms[0], of)
}

// terms are what is looked for: one term or bounce, or a list.
func (k *mailFindCommand) terms(c *console) ([]string, error) {
	var from io.Reader
	switch {
	case k.File != "" && len(k.Term) > 0:
		return nil, errors.New("both a term and --file are given: want one of them")
	case k.File != "":
		file, err := os.Open(k.File)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	case len(k.Term) == 1 && k.Term[0] == "-":
		from = c.stdin
	case len(k.Term) == 0:
		return nil, errors.New("nothing to look for: give an address, an id, or - and a bounce on standard input")
	default:
		return k.Term, nil
	}
	text, err := io.ReadAll(io.LimitReader(from, find.MaxBounce+1))
	if err != nil {
		return nil, err
	}
	if list, is := find.Terms(string(text)); is {
		return list, nil
	}
	return []string{string(text)}, nil
}

// one finds the mails of one term.
func (k *mailFindCommand) one(ctx context.Context, c *console, p *past, f *find.Finder, written string, of history.Filter) error {
	term, err := find.Parse(written, f.Shown)
	if err != nil {
		return err
	}
	if term.Blind {
		fmt.Fprintf(c.stderr, "kanmon: the records show no local parts ([journal] addresses = \"domain\"): all mail of %s is looked for\n", event.Printable(term.Any[0].Recipient, find.MaxTerm))
	}
	p.searched(ctx, c, k.Reason, term.Noted())
	mails, next, err := f.Mails(ctx, term, of, history.Page{Limit: k.Most})
	if err != nil {
		return err
	}
	t := find.Teller{Lang: k.Lang, In: time.Local}
	switch {
	case k.CSV:
		rows := make([]find.Row, len(mails))
		for i := range mails {
			rows[i] = t.Row(ctx, f, &mails[i])
			rows[i].Term = term.Text
		}
		return writeRows(c.stdout, rows)
	case k.JSON:
		return k.details(ctx, c, f, t, mails)
	case len(mails) == 0:
		return nothing(p, &term)
	case len(mails) > 1 && k.For != "":
		return fmt.Errorf("%d mails are found: choose one, and have it written with \"kanmon mail show ID --for %s\"", len(mails), k.For)
	case len(mails) > 1:
		return printMails(ctx, c.stdout, t, f, mails, next != "")
	default:
		return showMail(ctx, c, f, t, mails[0], k.For)
	}
}

// details prints all that is known of mails as JSON.
func (k *mailFindCommand) details(ctx context.Context, c *console, f *find.Finder, t find.Teller, mails []find.Mail) error {
	all := make([]find.Told, 0, len(mails))
	for _, m := range mails {
		d, err := f.Detail(ctx, m)
		if err != nil {
			return err
		}
		all = append(all, t.Tell(d))
	}
	if err := printJSON(c.stdout, all); err != nil || len(all) > 0 {
		return err
	}
	return errNothing
}

// nothing says that nothing was found, and why that may be.
func nothing(p *past, t *find.Term) error {
	text := fmt.Sprintf("nothing found of %s: %s", event.Printable(t.Text, find.MaxTerm), p.kept())
	if t.Kind == find.KindID && !p.cfg.Journal.Identify {
		text += ".\nMessage-IDs and queue ids of the MSA are on record only with [journal] identify = true; look for an address"
	}
	if t.Kind == find.KindBounce && !p.cfg.Journal.Identify {
		text += ".\nWithout [journal] identify = true a bounce is found by its recipient and time only"
	}
	return errors.New(text + ".\nWhat is not in it did not pass this gateway, or was lost with its record: see \"kanmon history status\"")
}

// list finds one mail of each term.
func (k *mailFindCommand) list(ctx context.Context, c *console, f *find.Finder, terms []string, of history.Filter) error {
	if k.For != "" {
		return errors.New("--for is about one mail, and a list was given")
	}
	t := find.Teller{Lang: k.Lang, In: time.Local}
	rows, err := t.Rows(ctx, f, terms, of)
	if err != nil {
		return err
	}
	switch {
	case k.CSV:
		err = writeRows(c.stdout, rows)
	case k.JSON:
		err = printJSON(c.stdout, rows)
	default:
		err = printRows(c.stdout, rows)
	}
	for i := range rows {
		if rows[i].Found > 0 {
			return err
		}
	}
	return errors.Join(err, errNothing)
}

type mailShowCommand struct {
	pastFlag
	ID string `arg:"" help:"The mail, as \"kanmon mail find\" names it, or whatever else means one mail: a session, a queue id."`
	tellFlags
}

// Run shows one mail.
func (k *mailShowCommand) Run(c *console) error {
	ctx := context.Background()
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	f, err := p.finder()
	if err != nil {
		return err
	}
	if term, err := find.Parse(k.ID, f.Shown); err == nil && term.Kind == find.KindAddress {
		p.searched(ctx, c, "", term.Noted())
	}
	mails, err := f.One(ctx, k.ID, history.Filter{})
	t := find.Teller{Lang: k.Lang, In: time.Local}
	switch {
	case err != nil:
		return err
	case len(mails) == 0:
		return nothing(p, &find.Term{Text: k.ID})
	case len(mails) > 1:
		return errors.Join(printMails(ctx, c.stdout, t, f, mails, false), fmt.Errorf("%d mails are meant by %s: choose one of them", len(mails), event.Printable(k.ID, find.MaxTerm)))
	case k.JSON:
		d, err := f.Detail(ctx, mails[0])
		if err != nil {
			return err
		}
		return printJSON(c.stdout, t.Tell(d))
	default:
		return showMail(ctx, c, f, t, mails[0], k.For)
	}
}

// showMail prints one mail, or writes to somebody about it.
func showMail(ctx context.Context, c *console, f *find.Finder, t find.Teller, m find.Mail, whom string) error {
	d, err := f.Detail(ctx, m)
	if err != nil {
		return err
	}
	switch whom {
	case "customer":
		err = printLetter(c.stdout, t.ForCustomer(d))
	case "postmaster":
		err = printLetter(c.stdout, t.ForPostmaster(d, find.NamesOf(ctx, net.DefaultResolver, d)))
	default:
		told := t.Tell(d)
		err = t.Print(c.stdout, &told)
	}
	return err
}

// printLetter writes what strangers' words are part of, fit for a terminal.
func printLetter(w io.Writer, letter string) error {
	const most = 16 << 10
	for line := range strings.Lines(letter) {
		if _, err := fmt.Fprintln(w, event.Printable(strings.TrimRight(line, "\n"), most)); err != nil {
			return err
		}
	}
	return nil
}

func printMails(ctx context.Context, w io.Writer, t find.Teller, f *find.Finder, mails []find.Mail, more bool) error {
	table := newTable(w, "MAIL\tLAST\tSTATE\tTRIES\tTENANT\tSENDER\tRECIPIENT\tMEANING")
	for i := range mails {
		r := t.Row(ctx, f, &mails[i])
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", r.ID, when(*r.Last), stateOfRow(&r), r.Tries, shownName(r.Tenant), shownName(r.Sender), shownName(r.Recipient), r.Meaning)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	end := "kanmon mail show MAIL has all of one"
	if more {
		end += "; there are more: --most, --since, or --to the time of the last"
	}
	_, err := fmt.Fprintln(w, end)
	return err
}

func stateOfRow(r *find.Row) string {
	if r.Probably {
		return string(r.State) + ", probably"
	}
	return string(r.State)
}

// printRows prints what was found of a list.
func printRows(w io.Writer, rows []find.Row) error {
	table := newTable(w, "TERM\tSTATE\tLAST\tTRIES\tMAIL\tMAILS\tMEANING")
	for i := range rows {
		r := &rows[i]
		switch {
		case r.Wrong != "":
			fmt.Fprintf(table, "%s\t%s\t-\t-\t-\t-\t%s\n", shownName(r.Term), "not a term", event.Printable(r.Wrong, find.MaxTerm))
		case r.Found == 0:
			fmt.Fprintf(table, "%s\t%s\t-\t-\t-\t0\t-\n", shownName(r.Term), "not found")
		default:
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n", shownName(r.Term), stateOfRow(r), when(*r.Last), r.Tries, r.ID, r.Found, r.Meaning)
		}
	}
	return table.Flush()
}

// writeRows writes CSV.
func writeRows(w io.Writer, rows []find.Row) error {
	out := csv.NewWriter(w)
	if err := out.Write(find.RowHead); err != nil {
		return err
	}
	for i := range rows {
		if err := out.Write(rows[i].Cells()); err != nil {
			return err
		}
	}
	out.Flush()
	if err := out.Error(); err != nil || len(rows) > 0 {
		return err
	}
	return errNothing
}
