package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"kanmon/internal/view/chart"
	"kanmon/internal/who/veil"
)

//go:embed templates
var templates embed.FS

// parsePages reads all templates: each file that is no piece is a page.
func parsePages() (map[string]*template.Template, error) {
	common, err := template.New("").Funcs(functions).ParseFS(templates, "templates/layout.html", "templates/pieces*.html")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, file := range files {
		name := path.Base(file)
		if name == "layout.html" || strings.HasPrefix(name, "pieces") {
			continue
		}
		own, err := common.Clone()
		if err == nil {
			_, err = own.ParseFS(templates, file)
		}
		if err != nil {
			return nil, err
		}
		pages[name] = own
	}
	return pages, nil
}

// A view is what the layout shows.
type view struct {
	Title   string
	Gateway string
	Here    string // the path and the query of the page, to come back to
	Who     Person
	Proxied bool // there is no log-out: a proxy says who it is
	Menu    []menuItem
	Said    string // what came of a change
	Live    bool
	Past    bool // there is a history
	Model   any
	Now     time.Time
}

type menuItem struct {
	Name, Path, Key string
	Here            bool
}

// May says whether the person may what the role with this word may: templates leave out what would be refused.
func (v *view) May(word string) bool {
	role, known := ParseRole(word)
	return known && v.Who.Role >= role
}

// render writes a page, all of it or an error.
func (s *Server) render(w http.ResponseWriter, r *request, status int, shows, title string, model any) {
	v := &view{Title: title, Gateway: s.Gateway, Here: r.URL.RequestURI(), Who: r.Who, Proxied: s.Proxy != nil, Model: model, Now: r.now, Menu: s.menu(r), Past: s.History != nil}
	if titled, has := model.(interface{ PageTitle() string }); has {
		v.Title = titled.PageTitle()
	}
	if r.Who.Role > Nobody {
		v.Said = s.logins.told(r.Who.Name)
	}
	_, v.Live = model.(live)
	if !r.may(Search) {
		v.Title, v.Model = veil.Text(v.Title), veil.Model(v.Model)
	}
	var page bytes.Buffer
	if err := s.pages[shows].ExecuteTemplate(&page, "layout", v); err != nil {
		s.Log.Error("a page cannot be made", "page", shows, "error", err)
		http.Error(w, "This page cannot be made: kanmon's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // whoever has gone does not read it
}

// live is what a model is that shows what happens now: the page asks for it again and again.
type live interface{ isLive() }

// showProblem shows an error in place of what was asked for.
func (s *Server) showProblem(w http.ResponseWriter, r *request, err error) {
	p := problem(err)
	if r.Context().Err() != nil && !errors.Is(err, http.ErrAbortHandler) {
		return
	}
	s.render(w, r, p.Status, "problem.html", "This cannot be shown", p)
}

// menu is what the person may see.
func (s *Server) menu(r *request) (items []menuItem) {
	for _, to := range s.routes {
		if to.menu != "" && r.may(to.role) && r.Who.Role > Nobody {
			_, at, _ := strings.Cut(to.path, " ")
			at = strings.TrimSuffix(at, "{$}")
			here := r.URL.Path == at || at != "/" && strings.HasPrefix(r.URL.Path, at+"/")
			items = append(items, menuItem{to.menu, at, to.key, here})
		}
	}
	return items
}

// functions are those that templates have.
var functions = template.FuncMap{
	"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"when":     func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") },
	"clock":    func(t time.Time) string { return t.Local().Format("15:04:05") },
	"zone":     func(t time.Time) string { return t.Local().Format("-07:00") },
	"utc":      func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"span":     span,
	"seconds":  func(s float64) string { return span(time.Duration(s * float64(time.Second))) },
	"percent":  percent,
	"times":    func(n int, one, many string) string { return counted(n, one, many) },
	"join":     func(list []string) string { return strings.Join(list, ", ") },
	"pairs":    pairs,
	"link":     link,
	"mark":     markOfState,
	"took":     chart.Seconds,
	"commands": commands,
	"day":      func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"octets":   octets,
	"ages":     ageHead,
	"inc":      func(n int) int { return n + 1 },
}

// counted is a number with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// percent has a decimal where it matters.
func percent(share float64) string {
	n := 100 * share
	if n >= 10 || n == 0 {
		return fmt.Sprintf("%.0f %%", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") + " %"
}

// span is a duration as people say it: two units at most.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return two(d, time.Minute, "min", time.Second, "s")
	case d < 2*day:
		return two(d, time.Hour, "h", time.Minute, "min")
	default:
		return two(d, day, "d", time.Hour, "h")
	}
}

func two(d, unit time.Duration, name string, smaller time.Duration, small string) string {
	text := fmt.Sprintf("%d %s", d/unit, name)
	if rest := d % unit / smaller; rest > 0 {
		text += fmt.Sprintf(" %d %s", rest, small)
	}
	return text
}

// A said is a part of a text, or a command in it, which is typed.
type said struct {
	Text  string
	Typed bool
}

// commands parts a text of ours at the backticks around commands.
func commands(text string) (parts []said) {
	for i, part := range strings.Split(text, "`") {
		if part != "" {
			parts = append(parts, said{part, i%2 == 1})
		}
	}
	return parts
}

// octets writes a size in the unit in which it has no more than three digits.
func octets(n int64) string {
	size, unit := float64(n), 0
	units := [...]string{"octets", "KiB", "MiB", "GiB", "TiB"}
	for size >= 1000 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	return fmt.Sprintf("%.3g %s", size, units[unit])
}

// pairs makes a map of names and values, for a piece that wants several.
func pairs(all ...any) (map[string]any, error) {
	if len(all)%2 != 0 {
		return nil, errors.New("pairs wants a value for each name")
	}
	m := map[string]any{}
	for i := 0; i < len(all); i += 2 {
		name, is := all[i].(string)
		if !is {
			return nil, fmt.Errorf("pairs wants names, got %v", all[i])
		}
		m[name] = all[i+1]
	}
	return m, nil
}
