package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/notes"
)

var ipRoutes = []route{
	{path: "GET /ips", title: "Sending IPs × providers", menu: "IPs × providers", key: "i", role: Look, shows: "ips.html", model: showIPs},
	{path: "GET /ips/{ip}", title: "Sending IP", role: Look, shows: "ip.html", model: showIP},
	{path: "POST /ips/{ip}/suspend", role: Act, act: suspend},
	{path: "POST /ips/{ip}/resume", role: Act, act: resume},
}

// mostColumns is how many providers stand in the matrix: those with most mail. All that is not active is in the list below it.
const mostColumns = 12

// A matrix is how sending IPs stand at providers.
type matrix struct {
	Providers []string
	Rows      []matrixRow
	Not       []admin.Standing // that are not plainly active
	Counted   bool             // there is a history, and cells have what came of mail
	Unlisted  int              // providers without a column
	Past      *time.Time       // when they stood so; nil: now
}

type matrixRow struct {
	IP    netip.Addr
	EHLO  string
	Pools []string
	All   cell   // of all providers
	Cells []cell // of Providers, in their order
}

// A cell is how one sending IP stands at one provider.
type cell struct {
	Mark     stateMark
	Standing *admin.Standing // nil: it is active
	IP       netip.Addr
	Provider string
	Attempts int64 // in 24 hours
	Deferred int64 // of them
	Ack      *notes.Note
}

// Page is that of the sending IP there.
func (c cell) Page() string { return link("/ips", c.IP) + link("?", "provider", c.Provider) }

// Share is what part of attempts was deferred.
func (c cell) Share() float64 {
	if c.Attempts == 0 {
		return 0
	}
	return float64(c.Deferred) / float64(c.Attempts)
}

// A stateMark shows a state by shape, letter and word: colour alone says nothing.
type stateMark struct{ Shape, Letter, Word, Kind string }

var stateMarks = map[string]stateMark{
	"active": {"●", "a", "active", "good"}, "slowed": {"◐", "s", "slowed", "warn"}, "suspended": {"✕", "x", "suspended", "bad"}, "probing": {"?", "p", "probing", "warn"},
	"stopped": {"■", "o", "stopped by an operator", "bad"}, admin.Warming: {"▲", "w", "warming up", "warn"}, admin.Absent: {"○", "–", "not on this host", "bad"},
	admin.CutOff: {"◌", "c", "cut off: no MX answers it", "bad"}, admin.Standby: {"○", "b", "standing by: another gateway has it", "dim"},
	admin.Listed: {"✕", "l", "on a public list", "bad"}, admin.Misnamed: {"◇", "n", "names do not agree", "warn"},
}

func markOfState(state string) stateMark {
	if m, known := stateMarks[state]; known {
		return m
	}
	return stateMark{"◇", state, state, "warn"}
}

func showIPs(r *request) (any, error) {
	if past, err := r.asOf("ips", "/ips"); past != nil || err != nil {
		return r.past(past, err, r.ipsAsOf)
	}
	s, err := r.server.watch.now(r.Context())
	if err != nil {
		return nil, err
	}
	counts, err := r.countsByIP(netip.Addr{}, r.now)
	if err != nil {
		return nil, err
	}
	acked := map[notes.Subject]notes.Note{}
	if r.server.Notes != nil {
		if acked, err = r.server.Notes.Acknowledged(r.Context(), r.now); err != nil {
			return nil, err
		}
	}
	return liveMatrix{*r.matrixOf(s.Standings, counts, acked)}, nil
}

// A liveMatrix is one of this moment.
type liveMatrix struct{ matrix }

func (liveMatrix) isLive() {}

func (r *request) matrixOf(stand []admin.Standing, counts map[place]outcomes, acked map[notes.Subject]notes.Note) *matrix {
	m := &matrix{Not: stand, Counted: r.history != nil}
	m.columns(stand, counts)
	for _, ip := range allIPs(r.server.ways().IPs, stand, counts) {
		row := matrixRow{IP: ip.Address, EHLO: ip.EHLO, Pools: ip.Pools, All: cellOf(ip.Address, "", stand, counts, acked)}
		for _, p := range m.Providers {
			row.Cells = append(row.Cells, cellOf(ip.Address, p, stand, counts, acked))
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// columns chooses the providers: those that something stands at, then those with most mail.
func (m *matrix) columns(stand []admin.Standing, counts map[place]outcomes) {
	mail, troubled := map[string]int64{}, map[string]bool{}
	for _, s := range stand {
		if s.Provider != "" {
			mail[s.Provider] += 0
			troubled[s.Provider] = true
		}
	}
	for at, c := range counts {
		if at.provider != "" {
			mail[at.provider] += c.all
		}
	}
	for p := range mail {
		m.Providers = append(m.Providers, p)
	}
	slices.SortFunc(m.Providers, func(a, b string) int {
		return cmp.Or(compareBool(troubled[b], troubled[a]), cmp.Compare(mail[b], mail[a]), cmp.Compare(a, b))
	})
	if len(m.Providers) > mostColumns {
		m.Unlisted = len(m.Providers) - mostColumns
		m.Providers = m.Providers[:mostColumns]
	}
}

type place struct {
	ip       netip.Addr
	provider string
}

type outcomes struct{ all, deferred int64 }

// countsByIP counts the attempts of 24 hours before a time, of one sending IP or of all.
func (r *request) countsByIP(ip netip.Addr, at time.Time) (map[place]outcomes, error) {
	of := map[place]outcomes{}
	if r.history == nil {
		return of, nil
	}
	all, err := r.history.Counts(r.Context(), history.CountsOf{
		Filter: history.Filter{From: at.Add(-24 * time.Hour), To: at, SendingIP: ip}, By: []string{history.ByProvider, history.BySending, history.ByOutcome},
	})
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		at := place{c.SendingIP, c.Provider}
		o := of[at]
		o.all += c.Attempts
		if c.Outcome == "deferred" {
			o.deferred += c.Attempts
		}
		of[at] = o
	}
	return of, nil
}

// allIPs are those of the configuration, and others that something is known of.
func allIPs(configured []SendingIP, stand []admin.Standing, counts map[place]outcomes) []SendingIP {
	all := slices.Clone(configured)
	add := func(ip netip.Addr) {
		if ip.IsValid() && !slices.ContainsFunc(all, func(x SendingIP) bool { return x.Address == ip }) {
			all = append(all, SendingIP{Address: ip})
		}
	}
	for _, s := range stand {
		add(s.IP)
	}
	for at := range counts {
		if len(configured) == 0 { // else it was one, and is none any more
			add(at.ip)
		}
	}
	slices.SortStableFunc(all, func(a, b SendingIP) int {
		return cmp.Or(slices.Compare(a.Pools, b.Pools), a.Address.Compare(b.Address))
	})
	return all
}

func cellOf(ip netip.Addr, provider string, stand []admin.Standing, counts map[place]outcomes, acked map[notes.Subject]notes.Note) cell {
	c := cell{Mark: stateMarks["active"], IP: ip, Provider: provider}
	for i := range stand {
		if s := &stand[i]; s.IP == ip && s.Provider == provider && s.State != "active" {
			c.Mark, c.Standing = markOfState(s.State), s
		}
	}
	for at, o := range counts {
		if at.ip == ip && (provider == "" || at.provider == provider) {
			c.Attempts += o.all
			c.Deferred += o.deferred
		}
	}
	if n, is := notes.Acknowledges(acked, notes.Subject{Alarm: "suspended", SendingIP: ip.String(), Provider: provider}); is {
		c.Ack = &n
	}
	return c
}

// An ipPage is one sending IP: how it stands anywhere, and why.
type ipPage struct {
	IP       netip.Addr
	EHLO     string
	Pools    []string
	Provider string // that was asked for; "": all
	All      []ipStanding
	WarmUps  []admin.WarmUp
	Takes    []admin.Takes
	Changes  []admin.Change
	Unkept   string // why there are none
	Notes    []notes.Note
	About    notes.Subject
	Needed   Thresholds
	Counts   []cell // by provider, in 24 hours
}

// PageTitle implements the title of the page.
func (p ipPage) PageTitle() string { return "Sending IP " + p.IP.String() }

// An ipStanding is how it stands at a provider, and who has said so.
type ipStanding struct {
	admin.Standing
	Mark         stateMark
	Tenants      int // different ones, whose mail the replies were to
	Destinations int
}

func showIP(r *request) (any, error) {
	ip, err := r.sendingIP()
	if err != nil {
		return nil, err
	}
	p := ipPage{IP: ip, Provider: r.ask("provider"), Needed: r.server.ways().Thresholds}
	for _, one := range r.server.ways().IPs {
		if one.Address == ip {
			p.EHLO, p.Pools = one.EHLO, one.Pools
		}
	}
	stand, err := r.admin.Standings(r.Context(), ip)
	if err != nil {
		return nil, err
	}
	for _, s := range stand {
		if p.Provider == "" || s.Provider == "" || s.Provider == p.Provider {
			p.All = append(p.All, counting(s))
		}
	}
	if p.Takes, p.WarmUps, err = r.capacity(ip); err != nil {
		return nil, err
	}
	if r.may(Search) {
		if p.Changes, err = r.admin.Changes(r.Context(), admin.Subject{}, ip, 20); isAbsent(err) {
			p.Unkept = err.Error() // where no audit is kept a sending IP is suspended, too
		} else if err != nil {
			return nil, err
		}
		slices.Reverse(p.Changes)
	}
	p.About = notes.Subject{SendingIP: ip.String(), Provider: p.Provider}
	if p.Notes, err = r.notesOf(p.About); err != nil {
		return nil, err
	}
	counts, err := r.countsByIP(ip, r.now)
	if err != nil {
		return nil, err
	}
	for at := range counts {
		if at.ip == ip && (p.Provider == "" || at.provider == p.Provider) {
			p.Counts = append(p.Counts, cellOf(ip, at.provider, stand, counts, nil))
		}
	}
	slices.SortFunc(p.Counts, func(a, b cell) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), cmp.Compare(a.Provider, b.Provider))
	})
	return p, nil
}

// capacity is what providers take from it, and how far it has warmed up.
func (r *request) capacity(ip netip.Addr) ([]admin.Takes, []admin.WarmUp, error) {
	shaping, err := r.admin.Shaping(r.Context(), ip)
	if err != nil {
		return nil, nil, err
	}
	warm, err := r.admin.WarmUps(r.Context(), netip.Addr{})
	if err != nil {
		return nil, nil, err
	}
	return shaping.Takes, slices.DeleteFunc(warm, func(w admin.WarmUp) bool { return w.IP != ip }), nil
}

// counting counts who has said it.
func counting(s admin.Standing) ipStanding {
	tenants, destinations := map[string]bool{}, map[string]bool{}
	for _, e := range s.Evidence {
		tenants[e.Tenant], destinations[e.Destination] = true, true
	}
	return ipStanding{s, markOfState(s.State), len(tenants), len(destinations)}
}

func (r *request) sendingIP() (netip.Addr, error) {
	ip, err := netip.ParseAddr(r.PathValue("ip"))
	if err != nil {
		return ip, &Problem{Status: http.StatusNotFound, Text: "“" + event.Printable(r.PathValue("ip"), 60) + "” is no IP address."}
	}
	return ip.Unmap(), nil
}

func suspend(r *request) (done, error) {
	ip, err := r.sendingIP()
	if err != nil {
		return done{}, err
	}
	lasts, err := r.lasting()
	if err != nil {
		return done{}, err
	}
	reason, err := r.reason()
	if err != nil {
		return done{}, err
	}
	if _, err := r.admin.Suspend(r.Context(), ip, r.ask("provider"), lasts, reason); err != nil {
		return done{}, err
	}
	return done{r.backToIP(ip), "It is out of use. “Resume” undoes it."}, nil
}

func resume(r *request) (done, error) {
	ip, err := r.sendingIP()
	if err != nil {
		return done{}, err
	}
	reason, err := r.reason()
	if err != nil {
		return done{}, err
	}
	if _, err := r.admin.Resume(r.Context(), ip, r.ask("provider"), reason); err != nil {
		return done{}, err
	}
	return done{r.backToIP(ip), "It is in use again. “Suspend” undoes it; a new refusal suspends it by itself."}, nil
}

func (r *request) backToIP(ip netip.Addr) string {
	return link("/ips", ip) + link("?", "provider", r.ask("provider"))
}

// reason is why somebody does something; kanmon's audit has it.
func (r *request) reason() (string, error) {
	if text := r.ask("reason"); text != "" {
		return text, nil
	}
	return "", &Problem{Status: http.StatusBadRequest, Text: "A reason is wanted: somebody will ask why.", Do: "Go back and write one."}
}

// lasting is how long something is to last; 0: until somebody ends it.
func (r *request) lasting() (time.Duration, error) {
	text := r.ask("for")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, &Problem{Status: http.StatusBadRequest, Text: "“" + event.Printable(text, 40) + "” is no duration: want one such as 90m or 48h, or nothing: until somebody ends it."}
	}
	return d, nil
}

// notesOf gives the notes on a subject, where notes are kept.
func (r *request) notesOf(about notes.Subject) ([]notes.Note, error) {
	if r.server.Notes == nil {
		return nil, nil
	}
	all, err := r.server.Notes.Of(r.Context(), about)
	if err != nil {
		return nil, errors.Join(errors.New("the notes cannot be read"), err)
	}
	return all, nil
}
