package setup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A question and its answer so far. There are at most eight.
type question struct {
	topic  topic // "": nothing of the file comes of it alone
	text   string
	answer string                     // what stands now; taken by an empty line
	take   func(words []string) error // the error is shown, and the question asked again
}

// errEnd is a terminal that was closed in the middle of the questions.
var errEnd = errors.New("no more answers: nothing is written")

// Ask asks a person for everything, and offers what flags say and what suits the host. file, unless it is "-" for
// standard output, is where to write; force allows it to be there.
func Ask(in io.Reader, out io.Writer, s *Sight, g *Given, file *string, force bool) (Answers, error) {
	lines := bufio.NewScanner(in)
	if g.Role == "" {
		role := askRole(&g.Role)
		if err := role.ask(lines, out, nil); err != nil {
			return Answers{}, err
		}
	}
	a, err := Decide(s, g)
	if err != nil {
		return a, err
	}
	questions := []func() (question, bool){
		func() (question, bool) { return a.askSources(s), true },
		func() (question, bool) { return a.askSendingIPs(s), a.Role != Observe },
		func() (question, bool) { return a.askNames(), len(a.SendingIPs) > 0 },
		func() (question, bool) { return a.askTenants(), true },
		func() (question, bool) { return a.askAddresses(), true },
		func() (question, bool) { return askFile(file, force), *file != "-" },
	}
	for _, next := range questions {
		q, wanted := next()
		if !wanted {
			continue
		}
		if err := q.ask(lines, out, func() error { return a.wrongIn(q.topic, g.Faults) }); err != nil {
			return a, err
		}
	}
	fmt.Fprintln(out)
	return a, nil
}

// ask asks until there is an answer that can be taken, and that wrong, unless it is nil, finds nothing in.
func (q *question) ask(lines *bufio.Scanner, out io.Writer, wrong func() error) error {
	fmt.Fprintf(out, "\n%s\n", q.text)
	for {
		fmt.Fprintf(out, "[%s] ", q.answer)
		if !lines.Scan() {
			fmt.Fprintln(out)
			asked, _, _ := strings.Cut(q.text, "\n")
			return errors.Join(fmt.Errorf("%w; the question was %q. Flags answer, too: kanmon init --help", errEnd, asked), lines.Err())
		}
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			text = q.answer
		}
		if text == noneWord {
			text = ""
		}
		err := q.take(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }))
		if err == nil && wrong != nil {
			err = wrong()
		}
		if err == nil {
			return nil
		}
		fmt.Fprintf(out, "  %v\n", err)
	}
}

// noneWord answers what may be left empty.
const noneWord = "none"

func orNone(words []string) string {
	if len(words) == 0 {
		return noneWord
	}
	return strings.Join(words, ", ")
}

// one takes a single word.
func one(words []string, what string) (string, error) {
	if len(words) != 1 {
		return "", fmt.Errorf("want %s", what)
	}
	return words[0], nil
}

func askRole(role *Role) question {
	return question{
		"", "What is kanmon to be here?\n  observe  see the mail of others, or of this host, and change nothing: a good beginning\n  gateway  relay the mail of other mail servers from sending IPs\n  msa      relay the mail of this host's own mail server from sending IPs",
		string(Observe), func(words []string) error {
			word, err := one(words, "observe, gateway or msa")
			if err == nil && !slices.Contains(roles, Role(word)) {
				err = fmt.Errorf("%q is no role: want observe, gateway or msa", word)
			}
			if err == nil {
				*role = Role(word)
			}
			return err
		},
	}
}

func (a *Answers) askSources(s *Sight) question {
	text := "Whose mail? The networks of the mail servers, and \"local\" for this host's own mail."
	if s.MSA {
		text += "\n  A mail server runs on this host: something listens on port 25."
	}
	var now []string
	for _, n := range s.Networks {
		text += fmt.Sprintf("\n  %s is behind %s", n.Prefix, n.Interface)
	}
	for _, n := range a.Sources {
		now = append(now, n.String())
	}
	if a.Local {
		now = append(now, localWord)
	}
	return question{sources, text, orNone(now), func(words []string) error { return a.setSources(words, s.Networks) }}
}

func (a *Answers) askSendingIPs(s *Sight) question {
	var now []string
	for _, ip := range a.SendingIPs {
		now = append(now, ip.Address.String())
	}
	return question{
		addresses, "From which addresses of this host may mail leave?", orNone(now), func(words []string) error {
			if len(words) == 0 {
				return errors.New("want an address; without one kanmon could only observe")
			}
			names := map[string]string{}
			for _, ip := range a.SendingIPs {
				names[ip.Address.String()] = ip.EHLO
			}
			if err := a.setSendingIPs(words, s.Names); err != nil {
				return err
			}
			for i := range a.SendingIPs {
				if ip := &a.SendingIPs[i]; ip.EHLO == "" {
					ip.EHLO = names[ip.Address.String()]
				}
			}
			return nil
		},
	}
}

func (a *Answers) askNames() question {
	text := "What are they called in EHLO? The names of their PTRs, in the same order:"
	var now []string
	for _, ip := range a.SendingIPs {
		text += "\n  " + ip.Address.String()
		if ip.EHLO != "" {
			now = append(now, ip.EHLO)
		}
	}
	if len(now) < len(a.SendingIPs) {
		now = nil
	}
	return question{names, text, orNone(now), a.setNames}
}

func (a *Answers) askTenants() question {
	var now []string
	for _, t := range a.Tenants {
		for _, n := range t.Sources {
			now = append(now, t.Name+"="+n.String())
		}
	}
	return question{
		tenants, "Tenants, each as acme=10.20.1.0/24. Without any, every mail server is treated alike; with some, mail of others is deferred.",
		orNone(now), a.setTenants,
	}
}

func (a *Answers) askAddresses() question {
	return question{
		shown, "What may the records show of mail addresses? \"clear\" is all, \"domain\" the domain alone.",
		a.Addresses, func(words []string) error {
			word, err := one(words, `"clear" or "domain"`)
			if err == nil && word != "clear" && word != "domain" {
				err = fmt.Errorf(`%q is neither "clear" nor "domain"`, word)
			}
			if err == nil {
				a.Addresses = word
			}
			return err
		},
	}
}

func askFile(file *string, force bool) question {
	free := *file
	if !force && Free(free) != nil {
		free = unused(free + newSuffix)
	}
	return question{"", "Where to write the configuration?", free, func(words []string) error {
		word, err := one(words, "a path without spaces")
		if err == nil && !force {
			err = Free(word)
		}
		if err == nil {
			*file = word
		}
		return err
	}}
}
