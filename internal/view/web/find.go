package web

import (
	"net/http"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
)

var findRoutes = []route{
	{path: "GET /find", title: "Find", menu: "Find", key: "f", role: Search, shows: "find.html", model: showFind, history: true},
	{path: "POST /find", title: "Find", role: Search, shows: "find.html", model: showFind, history: true},
	{path: "POST /find.csv", role: Search, stream: writeFound, history: true},
	{path: "GET /mails/{mail}", title: "Mail", role: Look, shows: "mail.html", model: showMail, history: true},
}

// A findPage is what somebody looks for, and what was found.
type findPage struct {
	Term   string
	Kind   string
	Notice string
	Asked  bool // something was looked for
	Found  []foundLine
	One    *mailPage // where it is only one
	After  string    // the next ones are behind; "": there are none
	ByLink bool      // the address of the next page may have the term: it is no person's address
	Lines  []foundFor
}

// A foundLine is a mail that was found.
type foundLine struct {
	find.Told
	Link string
}

// showFind looks for what was asked. What is an id may stand in the address of the page, and be passed on; what says who wrote to whom is only
// taken from a form: an address of a page is kept in many places.
func showFind(r *request) (any, error) {
	p := &findPage{Term: r.ask("term")}
	if p.Term == "" {
		return p, nil
	}
	if list, is := find.Terms(p.Term); is && len(list) > 1 {
		return r.findList(p, list)
	}
	term, err := find.Parse(p.Term, r.server.Shown)
	if err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Text: err.Error(), Do: "Look for one thing, a list with one on each line, or a whole bounce."}
	}
	p.Kind = term.Kind.String()
	switch p.ByLink = term.Kind == find.KindID || term.Kind == find.KindSession || term.Kind == find.KindIP; {
	case term.Blind:
		p.Notice = "The records show no local parts ([journal] addresses = \"domain\"): what is found is all mail of the domain."
	case !p.ByLink && r.Method != http.MethodPost:
		p.Notice = "Nobody is looked for by a link: press Find."
		return p, nil
	}
	if err := r.searched(term); err != nil {
		return nil, err
	}
	p.Asked = true
	finder := r.finder()
	mails, next, err := finder.Mails(r.Context(), term, history.Filter{}, r.page())
	if err != nil {
		return nil, err
	}
	p.After = string(next)
	if len(mails) == 1 && next == "" {
		p.One, err = r.mailPage(mails[0])
		return p, err
	}
	for i := range mails {
		p.Found = append(p.Found, foundLine{r.teller().Tell(&find.Detail{Mail: mails[i]}), link("/mails", mails[i].ID)})
	}
	return p, nil
}

// finder looks into the history of the server.
func (r *request) finder() *find.Finder {
	return &find.Finder{Store: r.history, Rules: r.server.Rules, Shown: r.server.Shown}
}

func (r *request) teller() find.Teller { return find.Teller{In: time.Local} }

// searched notes who looked for what before anything is shown, in the form in which the records have it.
func (r *request) searched(terms ...find.Term) error {
	for _, what := range find.Noted(terms) {
		if err := r.history.Searched(r.Context(), history.Search{At: r.now, By: r.Who.Name, What: what, Why: event.Printable(r.ask("why"), find.MaxNoted)}); err != nil {
			return err
		}
	}
	return nil
}

// A mailPage is a mail with its attempts, and what may be written to others about it.
type mailPage struct {
	find.Told
	Tries      []tryLine
	Customer   []letter
	Postmaster []letter
}

// PageTitle says what it is of.
func (p *mailPage) PageTitle() string { return "Mail " + p.ID }

// A letter is a text to copy.
type letter struct{ Lang, Name, Text string }

var languages = map[find.Lang]string{find.English: "English", find.Japanese: "日本語"}

func showMail(r *request) (any, error) {
	mails, err := r.finder().ByID(r.Context(), r.PathValue("mail"))
	if err != nil {
		return nil, err
	}
	if len(mails) == 0 {
		return nil, history.ErrGone
	}
	return r.mailPage(mails[0])
}

func (r *request) mailPage(m find.Mail) (*mailPage, error) {
	detail, err := r.finder().Detail(r.Context(), m)
	if err != nil {
		return nil, err
	}
	p := &mailPage{Told: r.teller().Tell(detail)}
	for i := range p.Attempts {
		p.Tries = append(p.Tries, tryOf(&p.Attempts[i]))
	}
	names := find.Names{}
	if r.server.Names != nil {
		names = r.server.ptrs.of(r.server, detail.SendingIPs())
	}
	for l := find.English; l <= find.Japanese; l++ {
		t := find.Teller{Lang: l, In: time.Local}
		p.Customer = append(p.Customer, letter{l.String(), languages[l], t.ForCustomer(detail)})
		p.Postmaster = append(p.Postmaster, letter{l.String(), languages[l], find.Teller{Lang: l}.ForPostmaster(detail, names)})
	}
	return p, nil
}
