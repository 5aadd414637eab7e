package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/who/mailbox"
)

type sessionsCommand struct {
	adminFlag
	sessionFlags
	State string        `help:"Only those that spend their time on this: kanmon, msa, mx, body_msa, body_mx, held, opening, moving, rescue, resting or passing, as \"times\" in the records." placeholder:"WORD"`
	Held  time.Duration `help:"Only those whose MSA has waited for the MX, or for kanmon, at least so long, as 30s or 5m." placeholder:"DURATION"`
	Most  int           `help:"How many are listed; default: ${default}." default:"50" placeholder:"NUMBER"`
}

// Which sessions a command is about.
type sessionFlags struct {
	Session  string     `help:"Only this session, as the records name it." placeholder:"ID"`
	Tenant   string     `help:"Only those of this tenant." placeholder:"NAME"`
	Account  string     `help:"Only those whose mail at hand, or last one, is of this account." placeholder:"ADDRESS"`
	Provider string     `help:"Only those to this provider." placeholder:"NAME"`
	IP       netip.Addr `name:"ip" help:"Only those that leave from this sending IP." placeholder:"ADDRESS"`
	MX       netip.Addr `name:"mx" help:"Only those to this MX." placeholder:"ADDRESS"`
}

func (f *sessionFlags) query() admin.SessionQuery {
	account := f.Account
	if account != "" && account != "<>" {
		account = mailbox.Named(account)
	}
	return admin.SessionQuery{Session: f.Session, Tenant: f.Tenant, Account: account, Provider: f.Provider, IP: f.IP.Unmap(), MX: f.MX.Unmap()}
}

// Run shows what runs.
func (k *sessionsCommand) Run(c *console) error {
	q := k.query()
	q.State, q.Held, q.Most = k.State, k.Held, k.Most
	if k.Most < 1 || k.Most > admin.MostSessions {
		return fmt.Errorf("--most %d: want 1 to %d", k.Most, admin.MostSessions)
	}
	if k.Held < 0 {
		return fmt.Errorf("--held %s: want a duration such as 30s or 5m", k.Held)
	}
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.Sessions, error) { return a.Sessions(ctx, q) }, printSessions)
}

func printSessions(w io.Writer, all admin.Sessions) error {
	if len(all.Sessions) > 0 {
		table := newTable(w, "FOR\tWAITS FOR\tTENANT\tPROVIDER\tSENDING IP\tMX\tSESSION\tACCOUNT")
		for i := range all.Sessions {
			s := &all.Sessions[i]
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", span(lasts(s)), waiting(s), shownName(s.Tenant), shownName(s.Provider), shownIP(s), s.MX.Addr(), s.Session,
				shownName(s.Account))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	line := fmt.Sprintf("%s of at most %d run", count(all.Running, "session"), all.Most)
	if all.Matching < all.Running {
		line += fmt.Sprintf(", %d of them asked for", all.Matching)
	}
	line += fmt.Sprintf("; %d held", all.Held)
	if left := all.Matching - len(all.Sessions); left > 0 {
		line += fmt.Sprintf("; %d not listed, see --most", left)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func shownIP(s *admin.Session) string {
	if !s.SendingIP.IsValid() {
		return "-"
	}
	return s.SendingIP.String()
}

func lasts(s *admin.Session) time.Duration {
	return time.Duration(s.For * float64(time.Second))
}

// waiting says for whom a session waits, and with what.
func waiting(s *admin.Session) string {
	switch s.State {
	case event.SpentOnMX.String(), event.SpentOpening.String():
		return "MX: " + s.Step
	case event.SpentOnBodyMX.String():
		return "MX: body"
	case event.SpentMoving.String():
		return "MX: move, " + s.Step
	case event.SpentRescuing.String():
		return "MX: rescue, " + s.Step
	case event.SpentOnMSA.String():
		return "MSA"
	case event.SpentOnBodyMSA.String():
		return "MSA: body"
	case event.SpentHeld.String():
		return "kanmon: a limit, or a scanner"
	case event.SpentResting.String():
		return "kanmon: rests"
	case event.SpentPassing.String():
		return "passed through"
	default:
		return "kanmon"
	}
}

// shownName is a name that strangers may have chosen, fit for a terminal.
func shownName(name string) string {
	const most = 60
	return orDash(event.Printable(name, most), "-")
}
