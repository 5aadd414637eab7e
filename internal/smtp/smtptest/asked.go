package smtptest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A question is what the proxy asks one whom the script plays.
type question struct {
	who    string
	words  []string
	answer chan Answer
	call   Call // of dial: what the answer comes to, made before it is given
}

func (q *question) String() string { return asText(q.who, q.words) }

func asText(who string, words []string) string {
	text := who + ":"
	for _, word := range words {
		key, value, valued := strings.Cut(word, "=")
		if valued && strings.ContainsAny(value, " \"") {
			word = key + "=" + strconv.Quote(value)
		}
		text += " " + word
	}
	return text
}

// Ask puts a question to one whom the script plays, and gives what the line says that answers it; nil if none does. A
// line answers if all words that it asks for are among these.
func (d *Dialogue) Ask(who string, words ...string) Answer {
	return d.ask(&question{who: who, words: words, answer: make(chan Answer, 1)})
}

func (d *Dialogue) ask(q *question) Answer {
	d.Tell("asked " + q.String())
	standstill := time.NewTimer(1) // virtual time does not pass before the script waits for something else
	defer standstill.Stop()
	select {
	case d.asked <- q:
		return <-q.answer
	case <-standstill.C:
		d.leaveOpen(q)
		return nil
	}
}

func (d *Dialogue) leaveOpen(q *question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unanswered = append(d.unanswered, q.String())
}

// unansweredText tells of the last questions that no line has answered: where a dialogue fails, that may be why.
func (d *Dialogue) unansweredText() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.unanswered) == 0 {
		return ""
	}
	const shown = 5
	return "\nasked so far, and answered by no line: " + strings.Join(d.unanswered[max(0, len(d.unanswered)-shown):], "; ")
}

// answer runs a line that answers the next question of its kind.
func (d *Dialogue) answer(who string, about []string, answer Answer) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case q := <-d.asked:
			if q.who != who || !contains(q.words, about) {
				d.leaveOpen(q)
				q.answer <- nil
				continue
			}
			if err := d.mayConnect(answer); err != nil {
				q.answer <- nil
				return err
			}
			if who == "dial" { // here, and not where it was asked: the next line is perhaps one of that leg
				q.call = d.connect(answer)
			}
			q.answer <- answer
			return nil
		case <-late.C:
			return fmt.Errorf("want to be asked %q", asText(who, about))
		}
	}
}

func contains(words, all []string) bool {
	return !slices.ContainsFunc(all, func(word string) bool { return !slices.Contains(words, word) })
}

// mayConnect says what is wrong with a leg that an answer names: the one before from that sending IP must have ended.
func (d *Dialogue) mayConnect(answer Answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, leg := range legs {
		before := d.mxs[leg]
		if answer.Has(name) && before != nil && !before.closed && !before.ended && (leg != 0 || d.first == nil) {
			return fmt.Errorf("the connection before from this sending IP has not ended: want eof-%s or close-%[1]s before", name)
		}
	}
	return nil
}

// Tell keeps a piece of news of the proxy, for the lines that speak of news. Its first word is who hears it.
func (d *Dialogue) Tell(text string) {
	d.mu.Lock()
	d.news = append(d.news, text)
	d.mu.Unlock()
	select {
	case d.newsCame <- struct{}{}:
	default:
	}
}

// telling is a line that expects news, or that there has been none.
func telling(wanted bool, text string) (step, error) {
	if !strings.Contains(text, " ") {
		return step{}, fmt.Errorf("want who heard it, and what: told: gate rcpt 250")
	}
	return step{run: func(d *Dialogue, _ *party) error {
		if wanted {
			return d.wantNews(text)
		}
		time.Sleep(glance) // what goes on comes to a halt before
		return d.wantNoNews(text)
	}}, nil
}

// wantNews waits for a piece of news, behind those of the same speaker that lines have spoken of before.
func (d *Dialogue) wantNews(want string) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		if d.hear(want) {
			return nil
		}
		select {
		case <-d.newsCame:
		case <-late.C:
			return fmt.Errorf("want the news %q\ngot  %q", want, d.newsOf(want))
		}
	}
}

func (d *Dialogue) hear(want string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	who := speaker(want)
	for i := d.heard[who]; i < len(d.news); i++ {
		if matches(d.news[i], want) {
			d.heard[who] = i + 1
			return true
		}
	}
	return false
}

func (d *Dialogue) wantNoNews(unwanted string) error {
	for _, text := range d.newsOf(unwanted) {
		if matches(text, unwanted) {
			return fmt.Errorf("want no such news\ngot  %q", text)
		}
	}
	return nil
}

// newsOf returns all news that the same one has heard.
func (d *Dialogue) newsOf(text string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.news), func(one string) bool { return speaker(one) != speaker(text) })
}

func speaker(text string) string {
	who, _, _ := strings.Cut(text, " ")
	return who
}
