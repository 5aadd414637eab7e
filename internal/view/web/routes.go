package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/view/history"
)

// A route is a page, a change or a stream: what can be asked for, by whom, and what answers.
type route struct {
	path    string // as http.ServeMux has it: "GET /sessions/{session}"
	title   string // of a page
	menu    string // as the menu calls a page; "": it is not in the menu
	key     string // behind "g": goes there
	role    Role   // that it wants; Nobody: it is for those who are not logged in, too
	shows   string // the file of templates
	history bool   // it shows nothing without a history

	byItself bool // a page asks for it again and again: that keeps nobody logged in

	// One of these.
	model  func(*request) (any, error)               // what the template shows
	act    func(*request) (done, error)              // changes something
	stream func(*request, http.ResponseWriter) error // writes by itself; an error before the first octet is shown
}

// done is what came of a change: where the browser goes then, and what is said there.
type done struct{ to, said string }

// routes are all there are, in the order of the menu.
func routes() []route {
	return slices.Concat(
		nowRoutes,
		sessionRoutes,
		ipRoutes,
		trialRoutes,
		providerRoutes,
		tenantRoutes,
		refusalRoutes,
		findRoutes,
		timelineRoutes,
		auditRoutes,
		attemptRoutes,
		waitingRoutes,
		whoseRoutes,
		ipPastRoutes,
		wouldRoutes,
		aboutRoutes,
		noteRoutes,
		entryRoutes,
		liveRoutes,
	)
}

// A request is one, with all that its answer may be made of.
type request struct {
	*http.Request
	server  *Server
	route   *route
	Who     Person
	admin   *admin.Client // in the name of the person
	history history.Store // nil: there is none
	now     time.Time
}

// unread says why what was asked for cannot be read: what is left out of it silently would be shown as another answer.
func unread(err error) *Problem {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Text: "What was sent is larger than " + octets(big.Limit) + ".", Do: "Of a bounce the first part is enough; of a list send one part after the other."}
	}
	return &Problem{Status: http.StatusBadRequest, Text: "What is asked for cannot be read: " + err.Error(), Do: "Is the address complete? In the values of an address %, & and ; are written %25, %26 and %3B."}
}

// may says whether the person may what a role may.
func (r *request) may(role Role) bool { return r.Who.Role >= role }

// ask gives a value of the query or of the form, without white space around it.
func (r *request) ask(name string) string { return strings.TrimSpace(r.FormValue(name)) }

// A Problem is an error that is no defect, with the status of the answer.
type Problem struct {
	Status int
	Text   string
	Do     string // what can be done about it
	Page   string // that shows more; "": there is none
	Shows  string // what that is
}

func (p *Problem) Error() string { return p.Text }

func notFound(*request) (any, error) {
	return nil, &Problem{Status: http.StatusNotFound, Text: "There is no such page.", Do: "The menu has all that there are."}
}

// Paths that a person who is not logged in comes back to after the login.
const loginPath = "/login"

// serve answers the requests of a route.
func (s *Server) serve(to *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, plain *http.Request) {
		who, known := s.whoAsks(plain, !to.byItself && plain.Header.Get("Kanmon-Refresh") == "")
		if end, _ := plain.Context().Value(peerKey{}).(peer); known && end.conn != nil {
			end.conn.isKnown()
		}
		r := &request{Request: plain, server: s, route: to, Who: who, now: s.Now()}
		if s.Admin != nil {
			r.admin = s.Admin.As(who.Name)
		}
		r.history = s.History
		switch {
		case to.role == Nobody:
		case !known:
			s.askWho(w, r)
			return
		case !r.may(to.role):
			s.showProblem(w, r, &Problem{
				Status: http.StatusForbidden, Text: "You may not do this: it wants the role “" + to.role.String() + "”, and yours is “" + who.Role.String() + "”.",
				Do: "Somebody with access to the host can change that: kanmon web user add " + cmp.Or(who.Name, "NAME") + " --role " + to.role.String(),
			})
			return
		}
		if err := r.ParseForm(); err != nil {
			s.showProblem(w, r, unread(err))
			return
		}
		if !r.may(Search) && r.ask("account") != "" {
			s.showProblem(w, r, &Problem{Status: http.StatusForbidden, Text: "To look for an account wants the role “search”.", Do: "Who may not see an address may not guess it either."})
			return
		}
		if to.history && r.history == nil {
			s.showProblem(w, r, &Problem{Status: http.StatusOK, Text: "There is no history.", Do: "Add a line “[history]” to the configuration, then: systemctl restart kanmon-view. What is kept begins then."})
			return
		}
		if to.stream != nil {
			s.answerStream(w, r)
			return
		}
		select {
		case s.working <- struct{}{}:
			defer func() { <-s.working }()
		case <-time.After(patience):
			s.showProblem(w, r, &Problem{Status: http.StatusServiceUnavailable, Text: "Too many pages are being made at once.", Do: "Try again in a minute."})
			return
		case <-r.Context().Done():
			return
		}
		if to.act != nil {
			s.answerAct(w, r)
			return
		}
		s.answerPage(w, r)
	})
}

func (s *Server) answerPage(w http.ResponseWriter, r *request) {
	model, err := r.route.model(r)
	if err != nil {
		s.showProblem(w, r, err)
		return
	}
	shows := r.route.shows
	if of, has := model.(interface{ ShownBy() string }); has {
		shows = of.ShownBy()
	}
	s.render(w, r, http.StatusOK, shows, r.route.title, model)
}

func (s *Server) answerAct(w http.ResponseWriter, r *request) {
	come, err := r.route.act(r)
	if err != nil {
		s.showProblem(w, r, err)
		return
	}
	if come.said != "" {
		s.logins.tell(r.Who.Name, come.said)
	}
	http.Redirect(w, r.Request, come.to, http.StatusSeeOther)
}

func (s *Server) answerStream(w http.ResponseWriter, r *request) {
	s.streams.Add(1)
	defer s.streams.Done()
	ctx, end := context.WithCancel(r.Context())
	defer end()
	r.Request = r.WithContext(ctx)
	if r.route.role > Nobody {
		go r.whileKnown(end)
	}
	begun := &beginning{ResponseWriter: w}
	if err := r.route.stream(r, begun); err != nil && !begun.has && r.Context().Err() == nil {
		s.showProblem(w, r, err)
	}
}

// knownAgain is how often it is looked whether who hears a stream still may.
const knownAgain = time.Second

// whileKnown ends a stream when the person has logged out, or may not hear it any more: it has no next request that would be refused.
func (r *request) whileKnown(end context.CancelFunc) {
	tick := time.NewTicker(knownAgain)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			if who, known := r.server.whoAsks(r.Request, false); !known || who.Role < r.route.role {
				end()
				return
			}
		}
	}
}

// beginning knows whether anything of an answer is written.
type beginning struct {
	http.ResponseWriter
	has bool
}

func (b *beginning) Write(p []byte) (int, error) {
	b.has = true
	return b.ResponseWriter.Write(p)
}

func (b *beginning) WriteHeader(status int) {
	b.has = true
	b.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (b *beginning) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// problem says what an error is to whoever looks.
func problem(err error) *Problem {
	var own *Problem
	var silent admin.NoAnswer
	var said *admin.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, history.ErrGone):
		return &Problem{Status: http.StatusNotFound, Text: "History does not have this, or no more.", Do: "How long it keeps what is in [history] of the configuration."}
	case errors.As(err, &said):
		return &Problem{Status: said.Status, Text: said.Error()}
	case errors.As(err, &silent):
		return &Problem{Status: http.StatusBadGateway, Text: "kanmon does not answer: " + err.Error(), Do: "systemctl status kanmon"}
	case errors.Is(err, context.DeadlineExceeded):
		return &Problem{Status: http.StatusGatewayTimeout, Text: "This took too long and was given up.", Do: "Ask for less: a shorter time, or one provider."}
	}
	return &Problem{Status: http.StatusBadRequest, Text: err.Error()}
}
