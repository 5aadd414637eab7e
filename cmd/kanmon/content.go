package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

type contentCommands struct {
	Test     contentTestCommand     `cmd:"" help:"Put a message to the configured scanners, and say what would follow. It goes to nobody else."`
	Explain  contentExplainCommand  `cmd:"" help:"Say whose the message of a reference was, what each scanner said of it, and what was done."`
	Allow    contentAllowCommand    `cmd:"" help:"Have what scanners say of a sender's mail, but for viruses, not held against it for a time."`
	List     contentListCommand     `cmd:"" help:"List whose content is allowed."`
	Withdraw contentWithdrawCommand `cmd:"" help:"End what allow has said."`
	Rspamd   contentRspamdCommand   `cmd:"" name:"rspamd" help:"Print the rules by which Rspamd shows kanmon what it has understood: for /etc/rspamd/lua.local.d/kanmon.lua."`
}

type contentTestCommand struct {
	configFlag
	File      string `arg:"" help:"The message, as it would leave. With - standard input is read." placeholder:"FILE"`
	Tenant    string `help:"Whose rules hold; default: those of the first tenant whose mail is scanned." placeholder:"NAME"`
	Account   string `help:"Whose mail it is." default:"test@kanmon.invalid" placeholder:"ADDRESS"`
	Sender    string `help:"The envelope's sender." default:"test@kanmon.invalid" placeholder:"ADDRESS"`
	Recipient string `help:"A recipient." default:"nobody@kanmon.invalid" placeholder:"ADDRESS"`
}

// mostTested bounds the message: no scanner takes more.
const mostTested = 1 << 30

// Run puts a message to the scanners. A verdict that is not to accept it is exit code 1.
func (k *contentTestCommand) Run(c *console) error {
	cfg, err := k.load()
	if err != nil {
		return err
	}
	in := c.stdin
	if k.File != "-" {
		f, err := os.Open(k.File)
		if err != nil {
			return fmt.Errorf("read the message: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	message, err := io.ReadAll(io.LimitReader(in, mostTested))
	if err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	a, err := daemon.ScanOnce(context.Background(), cfg, &daemon.ScanOrder{
		Tenant: k.Tenant, Account: k.Account, Sender: k.Sender, Recipient: k.Recipient, Message: withLineEnds(message),
	})
	if err != nil {
		return err
	}
	p := &explanation{w: c.stdout}
	for i := range a.Scans {
		p.line(a.Scans[i].Scanner, scanText(&a.Scans[i]))
	}
	v := &a.Verdict
	what := v.Handle.String()
	if what == "" {
		what = "no verdict: accepted of a sender without suspicion, deferred of a doubtful one"
	}
	if v.Rule != "" {
		what += fmt.Sprintf(" (%s of tenant %s)", v.Rule, a.Tenant)
	}
	if p.line("verdict", what); v.Handle != event.HandleAccept {
		return errShown
	}
	return nil
}

// withLineEnds has lines end as SMTP has them: a file of this host ends them otherwise.
func withLineEnds(message []byte) []byte {
	if strings.Contains(string(message), "\r\n") {
		return message
	}
	return []byte(strings.ReplaceAll(string(message), "\n", "\r\n"))
}

// shownSymbols is how many of a scanner's rules are shown.
const shownSymbols = 10

func scanText(s *event.Scan) string {
	if s.State != event.Scanned {
		return fmt.Sprintf("%s (%s): %s", s.State, s.Lack, event.Printable(s.Why, 200))
	}
	text := event.Printable(s.Action, 40)
	if s.Virus != "" {
		text = strings.TrimPrefix(text+", virus "+event.Printable(s.Virus, 80), ", ")
	}
	if s.Threshold != 0 {
		text += fmt.Sprintf(", %.4g of %.4g", s.Score, s.Threshold)
	}
	if text == "" {
		text = "nothing found"
	}
	var rules []string
	for _, one := range s.Symbols[:min(len(s.Symbols), shownSymbols)] {
		rules = append(rules, fmt.Sprintf("%s %.4g", event.Printable(one.Name, 60), one.Points))
	}
	if len(rules) > 0 {
		text += ": " + strings.Join(rules, ", ")
	}
	return text + fmt.Sprintf("; %v", s.Took.Duration().Round(100*time.Microsecond))
}

type contentExplainCommand struct {
	pastFlag
	Reference string `arg:"" help:"As it stands in the reply: 7F3K-29CQ."`
	Reason    string `help:"The reason, for whoever reads later who looked for whom." placeholder:"TEXT"`
}

// Run finds the message of a reference in the history.
func (k *contentExplainCommand) Run(c *console) error {
	reference := daemon.Reference(k.Reference)
	if reference == "" {
		return fmt.Errorf("%q is no reference: want eight letters and digits such as 7F3K-29CQ", k.Reference)
	}
	ctx := context.Background()
	past, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = past.Close() }()
	past.searched(ctx, c, k.Reason, reference)
	found, err := judgedAs(ctx, past, reference)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no message of reference %s is kept: %s", reference, past.kept())
	}
	if k.JSON {
		return printJSON(c.stdout, found)
	}
	for i := range found {
		if i > 0 {
			fmt.Fprintln(c.stdout)
		}
		printJudged(c.stdout, &found[i])
	}
	return nil
}

// judgedAs gives the lines that have a reference: transactions, and what was judged behind them.
func judgedAs(ctx context.Context, past *past, reference string) (all []event.Entry, err error) {
	attempts, _, err := past.Attempts(ctx, history.Filter{ID: reference}, history.Page{})
	if err != nil {
		return nil, err
	}
	for i := range attempts {
		if _, line, err := past.Attempt(ctx, attempts[i].Key); err == nil {
			all = append(all, *line)
		}
	}
	behind, _, err := past.Events(ctx, history.EventsOf{Types: []string{"judged"}, Reference: reference}, history.Page{})
	return append(all, behind...), err
}

func printJudged(w io.Writer, e *event.Entry) {
	p := &explanation{w: w}
	p.line("at", when(e.At))
	p.line("tenant", orDash(e.Tenant, "-"))
	p.line("account", orDash(e.Account, "-"))
	p.line("mail", fmt.Sprintf("session %s, mail %d", e.Session, e.Number))
	if e.Sender != "" {
		p.line("sender", e.Sender)
	}
	c := e.Content
	if c == nil {
		return
	}
	lane := c.Lane
	if c.Wanted != "" {
		lane += ", in place of " + c.Wanted
	}
	p.line("lane", lane)
	p.line("verdict", orDash(c.Verdict, "none")+", by "+orDash(c.Rule, "no rule"))
	p.line("done", orDash(c.Done, "-"))
	p.line("why", orDash(c.Why, "-"))
	for i := range c.Scans {
		p.line(c.Scans[i].Scanner, entryScanText(&c.Scans[i]))
	}
}

func entryScanText(s *event.EntryScan) string {
	one := event.Scan{Action: s.Action, Why: s.Why, Score: s.Score, Threshold: s.Threshold, Virus: s.Virus, Took: event.MicrosOf(s.Took.Duration())}
	_ = one.State.UnmarshalText([]byte(s.State)) // of a later kanmon it is not known
	_ = one.Lack.UnmarshalText([]byte(s.Lack))
	for _, symbol := range s.Symbols {
		one.Symbols = append(one.Symbols, event.Symbol(symbol))
	}
	return scanText(&one)
}

// Whose content an order is about.
type contentOf struct {
	Tenant  string `help:"The tenant; with --account whose that is." placeholder:"NAME"`
	Account string `help:"The account: an address, or a login name. Without it the order is for the whole tenant." placeholder:"ADDRESS"`
}

func (k contentOf) subject() (admin.Subject, error) {
	switch {
	case k.Account != "":
		return (ofAccount{Account: k.Account, Tenant: k.Tenant}).subject()
	case k.Tenant != "":
		return admin.Subject{Tenant: k.Tenant}, nil
	}
	return admin.Subject{}, errors.New("whose content? Add --account ADDRESS, or --tenant NAME for all of a tenant")
}

type contentAllowCommand struct {
	adminFlag
	Of contentOf `embed:""`
	ending
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT" required:""`
}

// Run has what scanners say not be held against a sender.
func (k *contentAllowCommand) Run(c *console) error {
	if k.For == nil && k.Until == nil {
		return errors.New("until when? Add --for 24h, or --until TIME: spam passes meanwhile")
	}
	return orderUntil(&k.adminFlag, c, k.Of, &k.ending, admin.Order{Do: "allow", Reason: k.Reason})
}

type contentWithdrawCommand struct {
	adminFlag
	Of     contentOf `embed:""`
	Reason string    `help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run ends that.
func (k *contentWithdrawCommand) Run(c *console) error {
	return order(&k.adminFlag, c, k.Of, admin.Order{Do: "withdraw", Reason: k.Reason}, printChanged)
}

type contentListCommand struct {
	adminFlag
}

// Run lists whose content is allowed.
func (k *contentListCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.Sender, error) {
		tenants, err := a.Tenants(ctx)
		if err != nil {
			return nil, err
		}
		accounts, err := a.Accounts(ctx, "")
		all := slices.DeleteFunc(append(tenants, accounts...), func(s admin.Sender) bool { return s.Allow == nil })
		return append([]admin.Sender{}, all...), err
	}, printAllowed)
}

func printAllowed(w io.Writer, all []admin.Sender) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "nobody's content is allowed")
		return err
	}
	table := newTable(w, "TENANT\tACCOUNT\tSINCE\tUNTIL\tBY\tWHY")
	for i := range all {
		s := &all[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Tenant, orDash(s.Account, "-"), when(s.Allow.At), untilOf(s.Allow), s.Allow.By, orDash(s.Allow.Why, "-"))
	}
	return errors.Join(table.Flush(), printNotes(w, all))
}

type contentRspamdCommand struct{}

// Run prints the rules.
func (*contentRspamdCommand) Run(c *console) error {
	_, err := io.WriteString(c.stdout, daemon.RspamdRules())
	return err
}

// probeScanners has the scanners that a configuration uses prove themselves.
func probeScanners(ctx context.Context, cfg *config.Config) ([]daemon.ScannerProof, error) {
	if !cfg.Scans() {
		return nil, nil
	}
	return daemon.ProbeScanners(ctx, cfg)
}
