package web

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kanmon/internal/event"
)

var entryRoutes = []route{
	{path: "GET " + loginPath, title: "Log in", role: Nobody, shows: "login.html", model: showLogin},
	{path: "POST " + loginPath, role: Nobody, stream: tryLogin},
	{path: "POST /logout", role: Nobody, stream: logOut},
}

// A Proxy says in headers who it is. It is believed on a Unix socket alone, and only where the process at its other end is of the user that
// was named.
type Proxy struct {
	User   string          // the header that has the name
	Groups string          // the header that has the groups, with commas or blanks between them; "": the file of users has the role
	Roles  map[string]Role // of groups
	UID    uint32          // of the proxy
}

type peerKey struct{}

// A peer is who is at the other end of a connection.
type peer struct {
	uid  uint32
	unix bool
	conn *one
}

// meet notes who is at the other end.
func (s *Server) meet(ctx context.Context, c net.Conn) context.Context {
	uid, is := peerUID(c)
	conn, _ := c.(*one)
	return context.WithValue(ctx, peerKey{}, peer{uid, is, conn})
}

// whoAsks says whose request it is, and whether anybody is known by it. Only what a person asks for by hand keeps him logged in.
func (s *Server) whoAsks(r *http.Request, byHand bool) (Person, bool) {
	if s.Proxy != nil {
		return s.proxied(r)
	}
	c, err := r.Cookie(s.cookie("").Name)
	if err != nil {
		return Person{}, false
	}
	one, is := s.logins.find(c.Value, s.Now(), byHand)
	if !is {
		return Person{}, false
	}
	user, err := s.Users.Find(one.name)
	if err != nil || user.hash != one.hash {
		s.logins.end(c.Value)
		return Person{}, false
	}
	return Person{user.Name, min(user.Role, s.May)}, true
}

func (s *Server) proxied(r *http.Request) (Person, bool) {
	end, _ := r.Context().Value(peerKey{}).(peer)
	name := strings.TrimSpace(r.Header.Get(s.Proxy.User))
	if !end.unix || end.uid != s.Proxy.UID || CheckName(name) != nil {
		return Person{}, false
	}
	role := Nobody
	if s.Proxy.Groups == "" && s.Users != nil {
		if user, err := s.Users.Find(name); err == nil {
			role = user.Role
		}
	}
	if s.Proxy.Groups != "" {
		for _, header := range r.Header.Values(s.Proxy.Groups) {
			for _, group := range strings.FieldsFunc(header, func(c rune) bool { return c == ',' || c == ' ' || c == ';' }) {
				role = max(role, s.Proxy.Roles[group])
			}
		}
	}
	return Person{name, min(role, s.May)}, true
}

// askWho sends a browser to the login, and back behind it. What was to be changed is not: it is asked for again.
func (s *Server) askWho(w http.ResponseWriter, r *request) {
	if s.Proxy != nil {
		s.showProblem(w, r, &Problem{
			Status: http.StatusUnauthorized, Text: "Nobody has said who you are.",
			Do: "This page stands behind a proxy, which says so in the header " + s.Proxy.User + ". It is believed only where its process is of the user in web.proxy_user.",
		})
		return
	}
	if r.Header.Get("Kanmon-Refresh") != "" {
		http.Error(w, "not logged in", http.StatusUnauthorized)
		return
	}
	to := loginPath
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?" + url.Values{"to": {r.URL.RequestURI()}}.Encode()
	}
	http.Redirect(w, r.Request, to, http.StatusSeeOther)
}

// A loginForm is what the login shows.
type loginForm struct {
	To, Name, Wrong string
	Nobody          bool // there are no users yet
}

func showLogin(r *request) (any, error) {
	if r.server.Proxy != nil {
		return nil, &Problem{Status: http.StatusNotFound, Text: "Nobody logs in here: a proxy says who you are."}
	}
	all, err := r.server.Users.List()
	if err != nil {
		return nil, &Problem{Status: http.StatusInternalServerError, Text: "The file of users cannot be read: " + err.Error()}
	}
	return loginForm{To: local(r.ask("to")), Nobody: len(all) == 0}, nil
}

// local gives the path of a page of this server; of anything else its first page.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

func tryLogin(r *request, w http.ResponseWriter) error {
	s := r.server
	if s.Proxy != nil {
		return &Problem{Status: http.StatusNotFound, Text: "Nobody logs in here: a proxy says who you are."}
	}
	name, password, from := r.ask("name"), r.FormValue("password"), placeOf(r.Request)
	form := loginForm{To: local(r.ask("to")), Name: event.Printable(name, maxName)}
	at := addressOf(r.RemoteAddr)
	if wait := s.tries.begin(from, name, r.now); wait > 0 {
		form.Wrong = "Too many wrong passwords from where you are. Try again in " + span(wait.Round(time.Second)) + "."
		w.Header().Set("Retry-After", seconds(wait))
		s.render(w, r, http.StatusTooManyRequests, "login.html", "Log in", form)
		return nil
	}
	user, right := s.Users.Check(name, password)
	if !right {
		s.Log.Warn("a login has failed", "name", form.Name, "from", at, "place", from)
		form.Wrong = "Name and password do not belong together."
		s.render(w, r, http.StatusUnauthorized, "login.html", "Log in", form)
		return nil
	}
	s.tries.right(from, name)
	s.Log.Info("logged in", "name", user.Name, "role", min(user.Role, s.May).String(), "from", at, "place", from)
	http.SetCookie(w, s.cookie(s.logins.add(user, s.Now())))
	http.Redirect(w, r.Request, form.To, http.StatusSeeOther)
	return nil
}

func logOut(r *request, w http.ResponseWriter) error {
	s := r.server
	if c, err := r.Cookie(s.cookie("").Name); err == nil {
		s.logins.end(c.Value)
	}
	http.SetCookie(w, s.cookie(""))
	http.Redirect(w, r.Request, loginPath, http.StatusSeeOther)
	return nil
}

// addressOf is where a request comes from, without its port: of a Unix socket "".
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	return host
}
