package web

import (
	"fmt"
	"net/http"

	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
)

// A foundFor is what was found of one term of a list: the newest mail of it.
type foundFor struct {
	find.Row
	Link string
}

// findList looks for each term of a list.
func (r *request) findList(p *findPage, list []string) (any, error) {
	if r.Method != http.MethodPost {
		p.Notice = "Nobody is looked for by a link: press Find."
		return p, nil
	}
	rows, err := r.found(list)
	p.Asked, p.Kind = true, "list"
	for i := range rows {
		l := foundFor{Row: rows[i]}
		if l.ID != "" {
			l.Link = link("/mails", l.ID)
		}
		p.Lines = append(p.Lines, l)
	}
	return p, err
}

func (r *request) found(list []string) ([]find.Row, error) {
	if len(list) > find.MaxList {
		return nil, &Problem{Status: http.StatusBadRequest, Text: fmt.Sprintf("The list has %d terms.", len(list)), Do: fmt.Sprintf("Look for %d at once at most.", find.MaxList)}
	}
	var terms []find.Term
	for _, written := range list {
		if term, err := find.Parse(written, r.server.Shown); err == nil { // what is none finds nobody
			terms = append(terms, term)
		}
	}
	if err := r.searched(terms...); err != nil {
		return nil, err
	}
	return r.teller().Rows(r.Context(), r.finder(), list, history.Filter{})
}

// writeFound writes what was found as a table, a line for each term: of those that were not found, too.
func writeFound(r *request, w http.ResponseWriter) error {
	list, is := find.Terms(r.ask("term"))
	if !is {
		return &Problem{Status: http.StatusBadRequest, Text: "There is no list to look for.", Do: "Write one address or id on each line."}
	}
	found, err := r.found(list)
	if err != nil {
		return err
	}
	return writeCSV(r, w, "found", find.RowHead, func(history.Page) ([][]string, history.Next, error) {
		rows := make([][]string, len(found))
		for i := range found {
			rows[i] = found[i].Cells()
		}
		return rows, "", nil
	})
}
