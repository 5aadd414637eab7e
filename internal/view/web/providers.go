package web

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/view/chart"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
)

var providerRoutes = []route{
	{path: "GET /providers", title: "Providers", menu: "Providers", key: "p", role: Look, shows: "providers.html", model: showProviders, history: true},
	{path: "GET /providers.csv", role: Look, stream: writeProviders, history: true},
	{path: "GET /providers/{provider}", title: "Provider", role: Look, shows: "provider.html", model: showProvider, history: true},
}

// A providersPage compares all of them.
type providersPage struct {
	Period periodForm
	Of     []providerLine
	CSV    string
}

type providerLine struct {
	Name     string
	Outcomes tally.Outcomes
	Deferred chart.Spark
}

func showProviders(r *request) (any, error) {
	p, err := r.period(aDay)
	if err != nil {
		return nil, err
	}
	lines, err := r.providerLines(p)
	return &providersPage{Period: p.form("/providers"), Of: lines, CSV: p.Link("/providers.csv")}, err
}

// sparks is how many bars a spark has.
const sparks = 24

// providerLines gives all providers, those with the most mail first. Sums are of the time that is asked for; a spark begins with the step that its
// beginning is in.
func (r *request) providerLines(p period) ([]providerLine, error) {
	of := history.CountsOf{Filter: history.Filter{From: p.From, To: p.To}, By: []string{history.ByProvider, history.ByOutcome}}
	sums, err := r.history.Counts(r.Context(), of)
	if err != nil {
		return nil, err
	}
	of.Step = sparkStep(p.Whole())
	of.From = p.From.UTC().Truncate(of.Step)
	counts, err := r.history.Counts(r.Context(), of)
	if err != nil {
		return nil, err
	}
	byName := map[string][]history.Count{}
	for i := range counts {
		byName[counts[i].Provider] = append(byName[counts[i].Provider], counts[i])
	}
	outcomes := map[string]*tally.Outcomes{}
	for i := range sums {
		name := sums[i].Provider
		if outcomes[name] == nil {
			outcomes[name] = new(tally.Outcomes)
		}
		outcomes[name].Add(&sums[i])
	}
	lines := make([]providerLine, 0, len(outcomes))
	for name, sum := range outcomes {
		lines = append(lines, providerLine{name, *sum, deferredSpark(byName[name], of.From, p.To, of.Step)})
	}
	slices.SortFunc(lines, func(a, b providerLine) int {
		return cmp.Or(cmp.Compare(b.Outcomes.Attempts, a.Outcomes.Attempts), cmp.Compare(a.Name, b.Name))
	})
	return lines, nil
}

// sparkStep is one that history counts in, of which there are about so many as a spark has bars.
func sparkStep(whole time.Duration) time.Duration {
	for _, step := range []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour} {
		if whole/step <= sparks {
			return step
		}
	}
	return 14 * 24 * time.Hour
}

// deferredSpark draws which part of the attempts was deferred.
func deferredSpark(counts []history.Count, from, to time.Time, step time.Duration) chart.Spark {
	all := make([]tally.Outcomes, max(1, (to.Sub(from)+step-1)/step))
	for i := range counts {
		if at := int(counts[i].Begin.Sub(from) / step); at >= 0 && at < len(all) {
			all[at].Add(&counts[i])
		}
	}
	s := chart.Spark{Title: "part that was deferred, in steps of " + span(step), Kind: chart.Wait}
	for i := range all {
		v := math.NaN()
		if all[i].Attempts > 0 {
			v = all[i].Part(all[i].Deferred)
		}
		s.Values = append(s.Values, v)
	}
	return s
}

func writeProviders(r *request, w http.ResponseWriter) error {
	p, err := r.period(aDay)
	if err != nil {
		return err
	}
	return writeCSV(r, w, "providers", append([]string{"provider"}, outcomeHead...), func(history.Page) ([][]string, history.Next, error) {
		lines, err := r.providerLines(p)
		rows := make([][]string, len(lines))
		for i := range lines {
			rows[i] = append([]string{lines[i].Name}, outcomeCells(&lines[i].Outcomes)...)
		}
		return rows, "", err
	})
}

var outcomeHead = []string{"attempts", "delivered", "deferred", "refused", "unclear", "other", "first_attempts", "first_delivered", "recipients", "octets", "rescued", "tls"}

func outcomeCells(o *tally.Outcomes) (cells []string) {
	for _, n := range []int64{o.Attempts, o.Delivered, o.Deferred, o.Refused, o.Unclear, o.Other, o.First, o.FirstDelivered, o.Recipients, o.Octets, o.Rescued, o.TLS} {
		cells = append(cells, strconv.FormatInt(n, 10))
	}
	return cells
}

// A providerPage is what one asks when mail to a provider is late.
type providerPage struct {
	*tally.Provider
	Period   periodForm
	Sentence string
	Strip    *chart.Strip
	Lines    *chart.Lines
	News     []tally.News
	Refused  []refusalLine
	Waits    waitsLine
	Now      *providerNow // nil: a past time is shown
}

// PageTitle names it.
func (p *providerPage) PageTitle() string { return "Provider " + p.Name }

func showProvider(r *request) (any, error) {
	p, err := r.period(aDay)
	if err != nil {
		return nil, err
	}
	of, err := tally.OfProvider(r.Context(), r.history, r.PathValue("provider"), p.From, p.To)
	if err != nil {
		return nil, err
	}
	page := &providerPage{Provider: of, Period: p.form(link("/providers", of.Name)), News: tally.AllNews(of.Did), Refused: r.refusalLines(of.Refusals, p, []any{"provider", of.Name}), Waits: waitsOf(&of.Waiting)}
	page.Strip = stripOf("Outcome of mail to "+of.Name, of.Over, page.News)
	page.Lines = linesOf("phase", fmt.Sprintf("How long %s takes at %s", of.Worst, of.Name), of.Over, of.Course, of.Before)
	page.Sentence = sentenceOf(of)
	if !p.Past {
		page.Now = r.providerNow(of.Name)
	}
	return page, nil
}

// Link makes the path of the list behind a figure of this provider.
func (p *providerPage) Link(path string, parts ...any) string {
	return p.Period.Link(path, append([]any{"provider", p.Name}, parts...)...)
}

// sentenceOf says what an operator is told on the telephone.
func sentenceOf(p *tally.Provider) string {
	o := &p.Over.Sum
	if o.Attempts == 0 {
		return "No mail went to " + p.Name + " in this time."
	}
	text := fmt.Sprintf("%s of %d attempts were delivered, %s deferred, %s refused.", percent(o.Part(o.Delivered)), o.Attempts, percent(o.Part(o.Deferred)), percent(o.Part(o.Refused)))
	if p.Unsaid > 0 {
		text += fmt.Sprintf(" %d of them were deferred by no reply of the provider's: by kanmon (a limit, containment, no sending IP left), or since the connection was lost.", p.Unsaid)
	}
	if i := slices.IndexFunc(p.Phases, func(of tally.Phase) bool { return of.Name == p.Worst && of.Slow() }); i >= 0 {
		of := &p.Phases[i]
		text += fmt.Sprintf(" It is slow: 9 of 10 replies to %s come within %s", of.Name, chart.Seconds(of.Now.P90))
		if of.Before.Known() {
			text += fmt.Sprintf("; a week before within %s", chart.Seconds(of.Before.P90))
		}
		text += "." + slowFrom(p)
	}
	concerned := slices.DeleteFunc(slices.Clone(p.Tenants), func(t tally.Tenant) bool {
		return t.Outcomes.Deferred+t.Outcomes.Refused+t.Outcomes.Unclear == 0
	})
	switch len(concerned) {
	case 0:
	case 1:
		text += fmt.Sprintf(" Only %s is concerned.", cmp.Or(concerned[0].Name, "one tenant, which is not known,"))
	default:
		text += fmt.Sprintf(" %d of %d tenants are concerned.", len(concerned), len(p.Tenants))
	}
	if waits := waitsOf(&p.Waiting); waits.All > 0 {
		text += fmt.Sprintf(" %s, as far as is known.", counted(int(waits.All), "mail waits", "mails wait"))
	}
	if len(p.Did) > 0 {
		text += " Last: " + tally.NewsOf(&p.Did[0]).What + "."
	}
	return text
}

// slowFrom says whether it is slow to all sending IPs, or to which.
func slowFrom(p *tally.Provider) string {
	switch slow, of := p.SlowTo(); {
	case of < 2, len(slow) == 0:
		return ""
	case len(slow) == of:
		return " It is slow to all sending IPs."
	default:
		return fmt.Sprintf(" It is slow to %s, and not to the other %d.", strings.Join(slow, " and "), of-len(slow))
	}
}

// A waitsLine is who waits at a provider, by how long.
type waitsLine struct {
	Provider string
	Tenants  int
	All      int64
	Ages     []int64
}

// Count is All, for texts.
func (l waitsLine) Count() int { return int(l.All) }

func waitsOf(w *history.Waiting) waitsLine {
	l := waitsLine{Provider: w.Provider, Tenants: w.Tenants, Ages: w.Ages[:]}
	for _, n := range w.Ages {
		l.All += n
	}
	return l
}

// ageHead names the columns of who waits.
func ageHead() (head []string) {
	for _, age := range history.Ages {
		head = append(head, "≤ "+span(age))
	}
	return append(head, "longer")
}

// A refusalLine is refusals of one meaning in like words, and what is to be done about them.
type refusalLine struct {
	find.Refused
	Link string // to the attempts
	Make string // a rule of it
}

// refusalLines says what refusals mean; of is what they were asked for by, as an address has it. New is what was seen first in the last day of the time that is shown.
func (r *request) refusalLines(shapes []history.Shape, p period, of []any) []refusalLine {
	lines := make([]refusalLine, len(shapes))
	for i := range shapes {
		s := &shapes[i]
		lines[i] = refusalLine{
			Refused: r.teller().Refused(r.finder(), s, p.To.Add(-24*time.Hour)),
			Link:    p.Link("/attempts", slices.Concat(of, []any{"class", s.Class, "shape", s.Shape})...),
			Make:    link("/refusals/rule?", "gateway", s.Seen.Gateway, "run", s.Seen.Run, "line", s.Seen.Line),
		}
	}
	return lines
}
