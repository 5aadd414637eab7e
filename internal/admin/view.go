package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// A May is how far the view, which shows kanmon to people in browsers, may go. Each may what the one before it may.
type May int

// How far it may go.
const (
	MayLook   May = iota // all but addresses of people
	MaySearch            // and these
	MayAct               // and changes
)

var mayWords = [...]string{"look", "search", "act"}

// String returns the word for it.
func (m May) String() string { return mayWords[m] }

// A view is the user whose processes speak for persons.
type view struct {
	uid  int64 // -1: there is none
	name string
	may  May
}

// SetView says which user of this host speaks for persons, by number (-1: none) and name, and how far that goes. Whoever else names a person
// is refused.
func (s *Server) SetView(uid int64, name string, may May) { s.view.Store(&view{uid, name, may}) }

// doors are the routes, each with how far the view must be allowed to go for it.
type doors struct {
	mux   *http.ServeMux
	paths []string
}

func (d *doors) open(wants May, path string, do http.HandlerFunc) {
	d.paths = append(d.paths, path)
	d.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		wants := wants
		if r.URL.Query().Get("account") != "" { // who may not see one may not guess it either
			wants = max(wants, MaySearch)
		}
		if as := ofView(r); as.view != nil && wants > as.view.may {
			refuse(w, http.StatusForbidden, fmt.Errorf("web.may is %q in kanmon's configuration, and this wants %q", as.view.may, wants))
			return
		}
		do(w, r)
	})
}

// viewing is that the view asks, and for whom.
type viewing struct {
	view   *view
	person string
	veils  bool // addresses are hidden from it
}

type asKey struct{}

func ofView(r *http.Request) viewing {
	as, _ := r.Context().Value(asKey{}).(viewing)
	return as
}

// maxPerson bounds the name of a person.
const maxPerson = 64

// asView finds out whether the view asks, and for whom.
func (s *Server) asView(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		person, v, one := r.Header.Get(PersonHeader), s.view.Load(), connectionOf(r.Context())
		switch {
		case v == nil || v.uid < 0 || one == nil || one.uid != v.uid:
			if person != "" {
				s.refuse(w, http.StatusForbidden, errors.New("only the user in web.user of kanmon's configuration speaks for persons"))
				return
			}
			next.ServeHTTP(w, r)
			return
		case len(person) > maxPerson || !printable(person) || strings.ContainsAny(person, "()"):
			s.refuse(w, http.StatusBadRequest, fmt.Errorf("%.70q is no name of a person: want at most %d octets in one line, without brackets", person, maxPerson))
			return
		case person == "" && r.Method != http.MethodGet:
			s.refuse(w, http.StatusForbidden, fmt.Errorf("%s changes nothing by itself: want the person's name in the header %s", v.name, PersonHeader))
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), asKey{}, viewing{v, person, v.may < MaySearch})))
	})
}
