package notify

import (
	"fmt"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/view/notes"
)

// mostShown bounds how many lines a part of a digest has.
const mostShown = 15

// group is the part of an event's name before the dot.
func group(t config.NotifyEvent) string {
	of, _, _ := strings.Cut(string(t), ".")
	return of
}

// digest writes a digest: one line if nothing has happened.
func (w *words) digest(d *digest) string {
	var b strings.Builder
	day := d.from.Format(time.DateOnly)
	mails := w.tallied(&d.counts)
	if d.quiet() {
		return fmt.Sprintf(w.labels["d_quiet"], day, mails) + "\n"
	}
	b.WriteString(fmt.Sprintf(w.labels["d_head"], day, mails) + "\n")
	part := func(label string, n int, line func(i int) string) {
		if n == 0 {
			return
		}
		b.WriteString("\n" + w.labels[label] + "\n")
		for i := range min(n, mostShown) {
			b.WriteString("  " + line(i) + "\n")
		}
		if n > mostShown {
			b.WriteString("  " + fmt.Sprintf(w.labels["d_more"], n-mostShown) + "\n")
		}
	}
	part("d_now", len(d.now), func(i int) string {
		e := &d.now[i]
		text := w.titled(&e.Event)
		if since := w.time(e.Data.Since); since != "" {
			text += fmt.Sprintf(w.labels["d_since"], since)
		}
		return text + e.note
	})
	for at, label := range [groups]string{"d_senders", "d_ips", "d_providers", "d_orders", "d_gateways"} {
		part(label, len(d.changed[at]), func(i int) string {
			e := &d.changed[at][i]
			return e.At.In(w.zone).Format("15:04") + " " + w.titled(e) + w.why(e)
		})
	}
	part("d_refusals", len(d.refusals), func(i int) string {
		t := &d.refusals[i]
		text := w.trend(t)
		if meaning := w.meaning(t.name); meaning != "" {
			text += " – " + meaning
		}
		return text
	})
	part("d_tenants", len(d.tenants), func(i int) string { return w.trend(&d.tenants[i]) })
	part("d_waiting", len(d.waiting), func(i int) string {
		return fmt.Sprintf("%s: %d", shownName(d.waiting[i].Provider), lateOf(&d.waiting[i]))
	})
	if d.gaps > 0 {
		b.WriteString("\n" + fmt.Sprintf(w.labels["d_gaps"], d.gaps) + "\n")
	}
	if d.status.Shortened {
		b.WriteString("\n" + w.labels["d_shortened"] + "\n")
	}
	if w.page != "" {
		b.WriteString("\n" + w.page + "/\n")
	}
	return b.String()
}

func (w *words) tallied(t *tally) string {
	if t.all == 0 {
		return w.labels["d_none"]
	}
	text := fmt.Sprintf(w.labels["d_mails"], t.all, percent(t.delivered, t.all), percent(t.deferred, t.all), percent(t.refused, t.all))
	if t.rescued > 0 {
		text += fmt.Sprintf(w.labels["d_rescued"], t.rescued)
	}
	return text
}

func percent(part, of int64) string { return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(of)) }

func (w *words) titled(e *Event) string { return w.say(e, "title", w.values(e, plain)) }

// why adds who has ordered something and for which reason, or on which grounds kanmon has done it.
func (w *words) why(e *Event) string {
	if cause := event.Printable(e.Data.Condition, mostValue); cause != "" && !strings.HasPrefix(string(e.Type), "warmup") {
		return " (" + cause + ")"
	}
	return ""
}

func (w *words) trend(t *trend) string {
	text := fmt.Sprintf(w.labels["d_trend"], shownName(t.name), t.count, t.before)
	if t.much() {
		text += " !"
	}
	return text
}

func shownName(name string) string {
	if name = event.Printable(name, mostValue); name == "" {
		return "-"
	}
	return name
}

func (w *words) acknowledged(n *notes.Note) string {
	return fmt.Sprintf(w.labels["d_acknowledged"], event.Printable(n.By, mostValue), w.time(n.Until), event.Printable(n.Text, mostValue))
}
