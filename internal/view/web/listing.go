package web

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
	"kanmon/internal/who/veil"
)

// A list shows so many rows at a time, and where the next ones are. There is no "all".
const rowsShown = 100

// more says where a list goes on.
type more struct {
	Next string // the path of the next page; "": there is none
	CSV  string // the path of the list as a table
}

// page reads how far a list has been read.
func (r *request) page() history.Page {
	return history.Page{Limit: rowsShown, After: history.Next(r.ask("after"))}
}

// mostCSV is how many rows a table has at most: whoever wants more asks for one time after another.
const mostCSV = 20_000

// writeCSV writes a table, of a list that is read page by page.
func writeCSV(r *request, w http.ResponseWriter, name string, head []string, rows func(history.Page) ([][]string, history.Next, error)) error {
	list, next, err := rows(history.Page{})
	if err != nil {
		return err // nothing is written yet: a page says it
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name+".csv"))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(5 * time.Minute))
	out := csv.NewWriter(w)
	defer out.Flush()
	if err := out.Write(head); err != nil {
		return err
	}
	for written := 0; ; {
		for _, row := range list {
			if !r.may(Search) {
				row, _ = veil.Model(row).([]string)
			}
			for i, cell := range row {
				row[i] = find.Cell(cell)
			}
			if err := out.Write(row); err != nil {
				return err
			}
		}
		switch written += len(list); {
		case next == "":
			return nil
		case written >= mostCSV:
			return out.Write([]string{fmt.Sprintf("There are more than %d rows: ask for a shorter time.", mostCSV)})
		}
		if list, next, err = rows(history.Page{After: next}); err != nil {
			return out.Write([]string{"The table is not complete: " + err.Error()})
		}
	}
}

// filter reads which attempts a page is about, as its address says it.
func (r *request) filter(p period) (f history.Filter, err error) {
	f = history.Filter{
		From: p.From, To: p.To, Gateway: r.ask("gateway"), Tenant: r.ask("tenant"), Account: r.ask("account"), Provider: r.ask("provider"),
		Class: r.ask("class"), Shape: r.ask("shape"),
	}
	if group := r.ask("outcome"); group != "" {
		if f.Outcomes = tally.OutcomesOf(group); f.Outcomes == nil {
			return f, &Problem{Status: http.StatusBadRequest, Text: fmt.Sprintf("outcome: there is no %q.", group), Do: "There are delivered, deferred, refused, unclear and other."}
		}
	}
	f.SendingIP, err = r.address("ip")
	return f, err
}

// A gatewayLink leads to the same list of one gateway, or of all.
type gatewayLink struct {
	Name, Link string // no name: all
	Here       bool
}

// gateways gives the lists of each gateway that had mail in a time, where there are several; group is that of the outcomes.
func (r *request) gateways(p period, f *history.Filter, group, path string) (all []gatewayLink, err error) {
	counts, err := r.history.Counts(r.Context(), history.CountsOf{Filter: history.Filter{From: p.From, To: p.To}, By: []string{history.ByGateway}})
	if err != nil || len(counts) < 2 && f.Gateway == "" {
		return nil, err
	}
	names := []string{""}
	for i := range counts {
		names = append(names, counts[i].Gateway)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		of := *f
		of.Gateway = name
		all = append(all, gatewayLink{name, p.Link(path, asksOf(&of, group)...), name == f.Gateway})
	}
	return all, nil
}

// address reads an IP address of the query.
func (r *request) address(name string) (ip netip.Addr, err error) {
	text := r.ask(name)
	if text == "" {
		return ip, nil
	}
	if ip, err = netip.ParseAddr(text); err != nil {
		return ip, &Problem{Status: http.StatusBadRequest, Text: fmt.Sprintf("%s: %q is no IP address.", name, text), Do: "Write it as 203.0.113.10 or 2001:db8::1."}
	}
	return ip, nil
}

// subject is the part of a filter that counts and news have, too.
func subject(f *history.Filter) tally.Subject {
	return tally.Subject{Gateway: f.Gateway, Provider: f.Provider, SendingIP: f.SendingIP, Tenant: f.Tenant, Account: f.Account}
}

// asksOf gives what the address of a page has about a filter; group is that of its outcomes.
func asksOf(f *history.Filter, group string) []any {
	ip := ""
	if f.SendingIP.IsValid() {
		ip = f.SendingIP.String()
	}
	return []any{"gateway", f.Gateway, "tenant", f.Tenant, "account", f.Account, "provider", f.Provider, "ip", ip, "class", f.Class, "shape", f.Shape, "outcome", group}
}
