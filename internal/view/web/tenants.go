package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"kanmon/internal/admin"
	"kanmon/internal/admin/explain"
	"kanmon/internal/event"
	"kanmon/internal/view/notes"
)

var tenantRoutes = []route{
	{path: "GET /tenants", title: "Tenants and accounts", menu: "Tenants", key: "t", role: Look, shows: "tenants.html", model: showTenants},
	{path: "GET /tenants/{tenant}", title: "Tenant", role: Look, shows: "sender.html", model: showSender},
	{path: "POST /tenants/{tenant}/{do}", role: Act, act: orderAbout},
	{path: "GET /tenants/{tenant}/a/{account}", title: "Account", role: Search, shows: "sender.html", model: showSender},
	{path: "GET /accounts", role: Search, stream: toAccount},
	{path: "POST /tenants/{tenant}/a/{account}/{do}", role: Act, act: orderAbout},
}

// A tenantsPage lists tenants, and accounts that are treated otherwise than others.
type tenantsPage struct {
	Tenants  []senderRow
	Accounts []senderRow
	None     bool // no tenant is configured
	Would    bool // those alone that would be treated otherwise if all evidence were enforced
	Hidden   bool // accounts are not for this person
}

// A senderRow is a line of a list.
type senderRow struct {
	admin.Sender
	State string
	Page  string
}

func showTenants(r *request) (any, error) {
	if past, err := r.asOf("tenants", "/tenants"); past != nil || err != nil {
		return r.past(past, err, r.tenantsAsOf)
	}
	p := tenantsPage{Would: r.ask("would") != "", Hidden: !r.may(Search)}
	tenants, err := r.admin.Tenants(r.Context())
	if isAbsent(err) { // all mail is one's
		p.None = true
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	p.Tenants = rowsOf(tenants, p.Would)
	if p.Hidden {
		return p, nil
	}
	accounts, err := r.admin.Accounts(r.Context(), "")
	if err != nil {
		return nil, err
	}
	p.Accounts = rowsOf(accounts, p.Would)
	return p, nil
}

// rowsOf puts first what is treated worst.
func rowsOf(all []admin.Sender, would bool) (rows []senderRow) {
	for i := range all {
		if s := &all[i]; !would || s.Would != s.InForce {
			rows = append(rows, senderRow{*s, explain.State(s), pageOfSender(s.Subject)})
		}
	}
	worst := []string{admin.LevelStop, admin.LevelDivert, admin.LevelSlow, admin.LevelNormal}
	slices.SortStableFunc(rows, func(a, b senderRow) int {
		return min(slices.Index(worst, a.InForce), slices.Index(worst, a.Would)) - min(slices.Index(worst, b.InForce), slices.Index(worst, b.Would))
	})
	return rows
}

// isAbsent says whether kanmon has answered that it does not have this.
func isAbsent(err error) bool {
	var said *admin.Error
	return errors.As(err, &said) && said.Status == http.StatusNotFound
}

func pageOfSender(of admin.Subject) string {
	if of.Account == "" {
		return link("/tenants", of.Tenant)
	}
	return link("/tenants", of.Tenant, "a", of.Account)
}

// A senderPage is all that is known of a tenant, or of an account.
type senderPage struct {
	admin.SenderDetail
	Path      string
	State     string
	Sentences []string
	Readings  []readingRow
	Uses      []limitRow
	Accounts  []senderRow // of a tenant, that are treated otherwise
	Hidden    bool
	Past      bool // there is a history of its mail
	Changes   []admin.Change
	Notes     []notes.Note
	About     notes.Subject
	Orders    []order
}

// PageTitle implements the title of the page.
func (p senderPage) PageTitle() string {
	if p.Account != "" {
		return "Account " + p.Account + " of " + p.Tenant
	}
	return "Tenant " + p.Tenant
}

// A readingRow is a signal with its numbers, and what they are compared with.
type readingRow struct {
	admin.Reading
	Counted bool // it is about a number, not a share
}

// A limitRow is how a limit stands.
type limitRow struct {
	admin.LimitUse
	Of, Amount, Note string
	Own              bool // of this sender, so that it can be set here
}

// An order is one that can be given here.
type order struct {
	Do, Label, What, Undo string
	Lasts                 bool
	Grave                 bool
}

func showSender(r *request) (any, error) {
	of := r.subject()
	x, err := r.admin.Sender(r.Context(), of)
	if isAbsent(err) && r.history != nil {
		return nil, &Problem{Status: http.StatusNotFound, Text: err.Error(), Do: "Another gateway may have it, or this one once had it.", Page: link("/tenants", of.Tenant, "history"), Shows: "What history has of " + of.Tenant}
	}
	if err != nil {
		return nil, err
	}
	p := senderPage{SenderDetail: x, Path: pageOfSender(x.Subject), State: explain.State(&x.Sender), Sentences: explain.Sender(&x), Hidden: !r.may(Search), Past: r.history != nil, Orders: ordersFor(&x)}
	for _, reading := range x.Readings {
		p.Readings = append(p.Readings, readingRow{reading, explain.Counted(&reading)})
	}
	for _, l := range x.Limits {
		p.Uses = append(p.Uses, limitRow{l, explain.LimitOf(&l), explain.Amount(&l), explain.LimitNote(&l), (l.Scope == "account") == (x.Account != "")})
	}
	if x.Account == "" && !p.Hidden {
		accounts, err := r.admin.Accounts(r.Context(), x.Tenant)
		if err != nil {
			return nil, err
		}
		p.Accounts = rowsOf(accounts, false)
	}
	p.Changes = slices.Clone(x.Changes)
	slices.Reverse(p.Changes)
	if x.Account == "" {
		p.About = notes.Subject{Tenant: x.Tenant}
		if p.Notes, err = r.notesOf(p.About); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (r *request) subject() admin.Subject {
	return admin.Subject{Tenant: r.PathValue("tenant"), Account: r.PathValue("account")}
}

// ordersFor are those that mean something as it stands, each with what will happen and how it is undone.
func ordersFor(x *admin.SenderDetail) (all []order) {
	whose := "all mail of " + x.Tenant
	if x.Account != "" {
		whose = "all mail of " + x.Account
	}
	if x.Block != nil || x.Level != admin.LevelNormal {
		all = append(all, order{Do: "unblock", Label: "Unblock", What: whose + " passes again, and what was counted is forgotten. Fresh evidence contains it again.", Undo: "Block"})
	}
	if x.Exempt != nil {
		all = append(all, order{Do: "unexempt", Label: "End the exemption", What: "Evidence contains it again.", Undo: "Exempt"})
	} else {
		all = append(all, order{Do: "exempt", Label: "Exempt", Lasts: true, What: whose + " passes whatever is refused; limits hold as before. For what you know to be wanted.", Undo: "End the exemption"})
	}
	if x.Block == nil {
		all = append(all, order{Do: "block", Label: "Block", Lasts: true, Grave: true, What: whose + " waits in the tenant's own mail server from now on (4xx). Nothing is lost.", Undo: "Unblock"})
	}
	return all
}

func orderAbout(r *request) (done, error) {
	of, do := r.subject(), r.PathValue("do")
	o := admin.Order{Do: do}
	said := map[string]string{
		"block": "It is blocked. “Unblock” undoes it.", "unblock": "It passes again. “Block” undoes it.", "exempt": "It is exempt. “End the exemption” undoes it.",
		"unexempt": "Evidence contains it again. “Exempt” undoes it.", "limit": "The limit is set. Amount 0 is that of the configuration again.",
	}[do]
	if said == "" {
		return done{}, &Problem{Status: http.StatusNotFound, Text: "“" + event.Printable(do, 20) + "” cannot be done here."}
	}
	var err error
	if o.Reason, err = r.reason(); err != nil {
		return done{}, err
	}
	if do == "block" || do == "exempt" {
		lasts, err := r.lasting()
		if err != nil {
			return done{}, err
		}
		if lasts > 0 {
			o.Until = r.now.Add(lasts)
		}
	}
	if do == "limit" {
		o.Limit = r.ask("limit")
		if o.Amount, err = strconv.ParseInt(r.ask("amount"), 10, 64); err != nil || o.Amount < 0 {
			return done{}, &Problem{Status: http.StatusBadRequest, Text: "“" + event.Printable(r.ask("amount"), 20) + "” is no amount: want a number, or 0 for that of the configuration."}
		}
	}
	if _, err := r.admin.Carry(r.Context(), of, o); err != nil {
		return done{}, err
	}
	return done{pageOfSender(of), said}, nil
}

// toAccount leads to the page of an account that was typed.
func toAccount(r *request, w http.ResponseWriter) error {
	of := admin.Subject{Tenant: r.ask("tenant"), Account: r.ask("account")}
	if of.Tenant == "" || of.Account == "" {
		return &Problem{Status: http.StatusBadRequest, Text: "Want a tenant and an account of it."}
	}
	http.Redirect(w, r.Request, pageOfSender(of), http.StatusSeeOther)
	return nil
}
