package notify

import (
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/view/find"
)

// A phrase is what people are told of an event.
type phrase struct {
	title string // in a line
	did   string // what kanmon did
	todo  string // what a person can do
}

// A language is how people are told. Its texts are templates, with the values of [words.values].
type language struct {
	phrases  map[config.NotifyEvent]phrase
	labels   map[string]string // of what stands around, and of numbers
	parsed   map[string]*template.Template
	noValues map[string]string // what stands for a value that is not there
	wide     bool              // its letters are no ASCII
	lang     find.Lang         // in which meanings are said
}

// words are texts in the operator's language and time zone.
type words struct {
	*language
	zone *time.Location
	page string
}

var languages = map[config.Language]*language{
	config.English:  parsed(&language{phrases: english, labels: englishLabels, noValues: englishNone}),
	config.Japanese: parsed(&language{phrases: japanese, labels: japaneseLabels, noValues: japaneseNone, wide: true, lang: find.Japanese}),
}

// parsed reads the templates of a language. They are constants, and a test executes each.
func parsed(l *language) *language {
	l.parsed = map[string]*template.Template{}
	for name, p := range l.phrases {
		for part, text := range map[string]string{"title": p.title, "did": p.did, "todo": p.todo} {
			l.parsed[string(name)+"/"+part] = template.Must(template.New(string(name)).Option("missingkey=error").Parse(text))
		}
	}
	return l
}

func wordsOf(cfg *config.Notify) *words {
	return &words{language: languages[cfg.Language], zone: cfg.Location(), page: strings.TrimSuffix(cfg.PageURL, "/")}
}

// mostValue bounds a name that strangers may have chosen.
const mostValue = 200

// values are what texts can name. Each is fit to be shown, and quoted as the form wants it.
func (w *words) values(e *Event, quote func(string) string) map[string]string {
	d := &e.Data
	values := map[string]string{
		"IP": addr(d.SendingIP), "Provider": d.Provider, "Pool": d.Pool, "Tenant": d.Tenant, "Account": d.Account, "Phase": d.Phase, "State": d.State,
		"Was": d.Was, "Gateway": d.Gateway, "By": d.By, "Action": d.Action, "Rule": d.Rule, "Condition": d.Condition, "Class": d.Class, "Version": d.Version,
		"Acted": d.Did, "List": d.List, "Names": strings.Join(d.Names, ", "),
	}
	for name, value := range values {
		if value = event.Printable(value, mostValue); value != "" {
			value = quote(value)
		} else {
			value = w.noValues[name]
		}
		values[name] = value
	}
	values["Until"], values["Since"], values["Day"] = w.time(d.Until), w.time(d.Since), e.At.In(w.zone).Format(time.DateOnly)
	values["Unclean"], values["Unkept"] = truth(d.Unclean), truth(d.Unkept)
	values["Meaning"] = w.meaning(d.Class)
	for _, n := range d.Numbers {
		values["N_"+n.Name] = number(n.Name, n.Value)
	}
	for _, name := range [...]string{"N_deferred_ratio", "N_tenants", "N_replies", "N_records", "N_times_in_24h", "N_silent_seconds", "N_mails", "N_used_ratio", "N_free_ratio"} {
		if values[name] == "" {
			values[name] = "?"
		}
	}
	return values
}

// meaning says in a few words what refusals of a class mean; "" of what is none.
func (w *words) meaning(class string) string {
	if class == "" {
		return ""
	}
	return find.Meaning(find.ClassOf(class), w.lang)
}

func truth(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

func (w *words) time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(w.zone).Format("2006-01-02 15:04 MST")
}

// say gives a part of what there is to say of an event.
func (w *words) say(e *Event, part string, values map[string]string) string {
	t := w.parsed[string(e.Type)+"/"+part]
	if t == nil {
		return ""
	}
	var b strings.Builder
	if err := t.Execute(&b, values); err != nil { // a test has executed each
		return string(e.Type)
	}
	return b.String()
}

func plain(text string) string { return text }

// fill puts the texts into what a webhook is sent.
func (w *words) fill(e *Event) {
	values := w.values(e, plain)
	e.Data.Subject, e.Data.Did, e.Data.ToDo = w.say(e, "title", values), w.say(e, "did", values), w.say(e, "todo", values)
	e.Data.Link = w.link(e)
}

// mail gives the subject and the text of a mail. A digest brings its own.
func (w *words) mail(e *Event) (title, text string) {
	values := w.values(e, plain)
	title = "kanmon: " + w.say(e, "title", values)
	if e.Data.Severity == Critical {
		title = w.labels["critical"] + title
	}
	if e.Type == digestEvent {
		return title, e.Data.Text
	}
	var b strings.Builder
	b.WriteString(w.say(e, "title", values) + "\n\n")
	w.facts(&b, e, plain)
	if len(e.Data.Replies) > 0 {
		b.WriteString("\n" + w.labels["replies"] + "\n")
		for _, r := range e.Data.Replies {
			b.WriteString("    " + event.Printable(r, mostReply) + "\n")
		}
	}
	for _, part := range [...]string{"did", "todo"} {
		if said := w.say(e, part, values); said != "" {
			b.WriteString("\n" + w.labels[part] + "\n" + said + "\n")
		}
	}
	if link := w.link(e); link != "" {
		b.WriteString("\n" + link + "\n")
	}
	b.WriteString("\n-- \n" + string(e.Type) + " " + e.ID + "\n")
	return title, b.String()
}

// mostReply bounds a reply that is shown.
const mostReply = 500

// facts writes what is known, a line each.
func (w *words) facts(b *strings.Builder, e *Event, quote func(string) string) {
	d := &e.Data
	line := func(label, value string) {
		if value != "" {
			b.WriteString(w.labels[label] + value + "\n")
		}
	}
	shown := func(text string) string {
		if text = event.Printable(text, mostReply); text == "" {
			return ""
		}
		return quote(text)
	}
	line("at", w.time(e.At))
	if !d.Since.Equal(e.At) {
		line("since", w.time(d.Since))
	}
	line("until", w.time(d.Until))
	line("gateway", shown(d.Gateway))
	line("condition", shown(d.Condition))
	line("by", shown(d.By))
	for _, n := range d.Numbers {
		text := number(n.Name, n.Value)
		if n.Threshold > 0 {
			text += w.labels["threshold"] + number(n.Name, n.Threshold)
		}
		line("N_"+n.Name, text)
	}
	if d.IP.IsValid() || d.Sender != "" || d.MessageID != "" {
		line("msa", addr(d.IP))
		line("sender", shown(d.Sender))
		line("message_id", shown(d.MessageID))
	}
	if d.Session != 0 {
		session := d.Session.String()
		if d.Transaction > 0 {
			session += "-" + strconv.Itoa(d.Transaction)
		}
		line("session", session)
	}
	if d.More > 0 {
		line("more", strconv.Itoa(d.More))
	}
}

// number writes a number as its name says what it is.
func number(name string, value float64) string {
	switch {
	case strings.Contains(name, "_ratio"):
		return fmt.Sprintf("%.1f %%", value*100)
	case strings.HasPrefix(name, "days"):
		return fmt.Sprintf("%.0f", value)
	case strings.HasSuffix(name, "_ms"):
		return fmt.Sprintf("%.1f s", value/1000)
	case strings.HasSuffix(name, "_seconds"):
		return fmt.Sprintf("%.0f s", value)
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}

// slack gives an event as a text for Slack or Mattermost. Whatever others have written stands as code, where neither has markup, links or
// mentions.
func (w *words) slack(e *Event) string {
	values := w.values(e, code)
	var b strings.Builder
	fmt.Fprintf(&b, "*%s* %s\n", e.Data.Severity, w.say(e, "title", values))
	if e.Type == digestEvent {
		b.WriteString("```\n" + fence(e.Data.Text) + "\n```")
		return b.String()
	}
	w.facts(&b, e, code)
	for _, r := range e.Data.Replies {
		b.WriteString("> " + code(event.Printable(r, mostReply)) + "\n")
	}
	for _, part := range [...]string{"did", "todo"} {
		if said := w.say(e, part, values); said != "" {
			b.WriteString(w.labels[part] + " " + said + "\n")
		}
	}
	if link := w.link(e); link != "" {
		b.WriteString(link + "\n")
	}
	return b.String()
}

// code makes a text that stands for itself.
func code(text string) string { return "`" + fence(text) + "`" }

// fence takes from a text what would end code, and writes what Slack reads as markup everywhere.
func fence(text string) string {
	return strings.NewReplacer("`", "'", "&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

const digestEvent config.NotifyEvent = "digest"
