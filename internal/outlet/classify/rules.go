package classify

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"kanmon/internal/event"
)

// Rules are the ordered rules and the table of lists. They do not change and are safe for concurrent use.
type Rules struct {
	rules []rule
	lists []knownList
	worth map[Weight]Suspend // the most that lists of a weight alone can do
	cause []int32            // phrases that say that a list is why, see beside
	form  []int32            // phrases that providers say beside their codes, see ofProvider
	found *automaton
	asked [][]int32 // by phrase: the rules that it is one of the any of
}

type knownList struct {
	List
	zones []string // all of them
	ids   []int32  // phrases that name it
}

//go:embed rules/*.toml
var builtin embed.FS

// Builtin returns the built-in rules. It fails only if the program was built from files that do not compile.
func Builtin() (*Rules, error) { return builtinRules() }

var builtinRules = sync.OnceValues(func() (*Rules, error) { return compile(nil) })

// Parse reads an operator's rules and puts them in front of the built-in ones; name is the file's, for errors. The first
// error is an [Error] with its line. Tests in the file must hold.
func Parse(name string, data []byte) (*Rules, error) {
	f, err := decode(name, data)
	if err != nil {
		return nil, err
	}
	r, err := compile(f)
	if err != nil {
		return nil, err
	}
	return r, r.test(f)
}

// compile joins the operator's file, if there is one, and the built-in ones.
func compile(own *file) (*Rules, error) {
	files, err := builtinFiles()
	if err != nil {
		return nil, err
	}
	c := compiler{
		words: map[string][]string{}, spelled: map[string][]string{}, ids: map[string]int32{}, pieces: map[string]part{}, found: newBuilder(),
		names: map[string]bool{}, builtin: map[string]bool{}, disabled: map[string]bool{}, out: Rules{worth: map[Weight]Suspend{}},
	}
	for _, f := range files {
		for _, t := range f.Rules {
			c.builtin[t.Name] = true
		}
	}
	if own != nil {
		if err := c.disable(own); err != nil {
			return nil, err
		}
		files = append([]*file{own}, files...)
	}
	for _, f := range slices.Backward(files) { // the operator's come last and win
		for name, entries := range f.Words {
			c.words[name] = append(slices.Clone(entries), c.words[name]...)
		}
		for name, most := range f.Weights {
			var w Weight
			if err := w.UnmarshalText([]byte(name)); err != nil {
				return nil, &Error{f.name, f.line("[weights]", 0), err.Error()}
			}
			c.out.worth[w] = most
		}
	}
	for _, f := range files {
		if err := c.addLists(f); err != nil {
			return nil, err
		}
	}
	clear(c.spelled) // groups have grown with the lists
	clear(c.pieces)
	if c.out.cause, err = c.group(causeWords); err != nil {
		return nil, err
	}
	if c.out.form, err = c.group(codeForm); err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := c.addRules(f, f == own); err != nil {
			return nil, err
		}
	}
	c.out.found = c.found.automaton()
	c.out.asked = make([][]int32, c.out.found.places)
	for i := range c.out.rules {
		for _, id := range c.out.rules[i].any {
			c.out.asked[id] = append(c.out.asked[id], int32(i))
		}
	}
	out := c.out // and nothing of what has made it: that is three times as large
	return &out, nil
}

func builtinFiles() ([]*file, error) {
	entries, err := builtin.ReadDir("rules")
	if err != nil {
		return nil, err
	}
	files := make([]*file, 0, len(entries))
	for _, e := range entries { // in the order of their names
		data, err := builtin.ReadFile(path.Join("rules", e.Name()))
		if err != nil {
			return nil, err
		}
		f, err := decode(e.Name(), data)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// A compiler collects phrases, each once, while it reads files.
type compiler struct {
	words    map[string][]string // groups, until the lists are read
	spelled  map[string][]string // by text
	ids      map[string]int32    // of phrases
	pieces   map[string]part     // of phrases
	found    *builder
	names    map[string]bool // of rules read
	builtin  map[string]bool
	disabled map[string]bool
	out      Rules
}

func (c *compiler) disable(own *file) error {
	for _, name := range own.Disable {
		if !c.builtin[name] {
			return &Error{own.name, own.line("disable", 0), fmt.Sprintf("disable: there is no built-in rule %q; \"kanmon classify\" names the rule that decided", name)}
		}
		c.disabled[name] = true
	}
	return nil
}

// addLists reads the lists of a file, and makes their spellings a group of words by kind: {ip_list}, {domain_list},
// {url_list}; the zones alone are {ip_zone} and so on.
func (c *compiler) addLists(f *file) error {
	for i, t := range f.Lists {
		if t.Name == "" || t.Weight == WeightUnknown {
			return f.wrong("list", i, "list %q: want a name and a weight, one of %s", t.Name, strings.Join(t.Weight.Words(), ", "))
		}
		if !slices.Contains([]string{"ip", "domain", "url"}, t.Kind) {
			return f.wrong("list", i, "list %q: kind %q: want ip, domain or url", t.Name, t.Kind)
		}
		if slices.ContainsFunc(c.out.lists, func(l knownList) bool { return l.Name == t.Name }) {
			continue // the operator's own word on it came first
		}
		k := knownList{List: List{Name: t.Name, Kind: t.Kind, Weight: t.Weight, Delist: t.Delist}, zones: t.Zones}
		spelled := slices.Clone(t.Names)
		for _, zone := range t.Zones {
			spelled = append(spelled, "*"+zone+"*")
		}
		if len(t.Zones) > 0 {
			k.Zone = t.Zones[0]
		}
		for _, s := range spelled {
			id, err := c.phrase(s)
			if err != nil {
				return f.wrong("list", i, "list %q: %v", t.Name, err)
			}
			k.ids = append(k.ids, id)
		}
		c.words[t.Kind+"_list"] = append(c.words[t.Kind+"_list"], spelled...)
		c.words[t.Kind+"_zone"] = append(c.words[t.Kind+"_zone"], spelled[len(t.Names):]...)
		c.out.lists = append(c.out.lists, k)
	}
	return nil
}

// group returns the phrases of a group of words.
func (c *compiler) group(name string) (ids []int32, err error) {
	for _, text := range c.words[name] {
		id, err := c.phrase(text)
		if err != nil {
			return nil, fmt.Errorf("[words] %s: %w", name, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (c *compiler) addRules(f *file, own bool) error {
	for i, t := range f.Rules {
		if !own && c.disabled[t.Name] {
			continue
		}
		if c.names[t.Name] || own && c.builtin[t.Name] && !c.disabled[t.Name] {
			return f.wrong("rule", i, "rule %q: there is one of that name; want another, or for a built-in one disable = [%q]", t.Name, t.Name)
		}
		c.names[t.Name] = true
		r, err := c.rule(t)
		if err != nil {
			return f.wrong("rule", i, "rule %q: %v", t.Name, err)
		}
		c.out.rules = append(c.out.rules, r)
	}
	return nil
}

func (c *compiler) rule(t ruleTable) (rule, error) {
	r := rule{name: t.Name, class: t.Class, count: t.Count, phases: t.Phases, providers: t.Providers, codes: t.Codes, nested: t.Nested, source: t.Source, advice: t.Advice, shares: t.Shares}
	switch {
	case t.Name == "":
		return r, fmt.Errorf("no name: want one like \"my MX, blocked\"")
	case t.Class == event.Unjudged:
		return r, fmt.Errorf("no class: want one of %s", strings.Join(t.Class.Words(), ", "))
	case t.Count != event.Uncounted && t.Class != Throttled:
		return r, fmt.Errorf("count %q: class %s does not say that there is too much of anything; want class %s, or no count", t.Count, t.Class, Throttled)
	case len(t.Any)+len(t.All)+len(t.Codes)+len(t.Nested)+len(t.Regexps) == 0:
		return r, fmt.Errorf("it matches every reply: want any, all, codes, nested or regexps")
	}
	r.scope, r.suspend = defaults[t.Class].scope, defaults[t.Class].suspend
	if t.Scope != nil {
		r.scope = *t.Scope
	}
	if t.Suspend != nil {
		r.suspend = *t.Suspend
	}
	for _, p := range t.Phases {
		if _, known := event.ParsePhase(p); !known {
			return r, fmt.Errorf("phase %q: want some of %s", p, strings.Join(event.PhaseNames(), ", "))
		}
	}
	for _, group := range []struct {
		texts []string
		ids   *[]int32
	}{{t.Any, &r.any}, {t.All, &r.all}, {t.None, &r.none}} {
		for _, text := range group.texts {
			r.quoting = r.quoting || strings.Contains(text, "<ip>")
			id, err := c.phrase(text)
			if err != nil {
				return r, err
			}
			*group.ids = append(*group.ids, id)
		}
	}
	for _, text := range t.Regexps {
		re, err := regexp.Compile(text)
		if err != nil {
			return r, err
		}
		r.regexps = append(r.regexps, re)
	}
	for _, name := range t.Lists {
		i := slices.IndexFunc(c.out.lists, func(l knownList) bool { return l.Name == name })
		if i < 0 {
			return r, fmt.Errorf("list %q: there is no [[list]] of that name", name)
		}
		r.lists = append(r.lists, i)
	}
	return r, nil
}

// test runs the tests of a file.
func (r *Rules) test(f *file) error {
	for i, t := range f.Tests {
		if t.Reply == "" || t.Class == nil {
			return f.wrong("test", i, "a test needs reply and class")
		}
		v := r.Classify(Query{Text: t.Reply, Phase: t.Phase, Provider: t.Provider, SendingIP: t.IP})
		want := v
		want.Class = *t.Class
		if t.Scope != nil {
			want.Scope = *t.Scope
		}
		if t.Suspend != nil {
			want.Suspend = *t.Suspend
		}
		if t.Rule != "" {
			want.Rule = t.Rule
		}
		if v.Class != want.Class || v.Scope != want.Scope || v.Suspend != want.Suspend || v.Rule != want.Rule {
			return f.wrong("test", i, "test %q: got %s, scope %s, suspend %s by rule %q; want %s, scope %s, suspend %s by rule %q", t.Reply,
				v.Class, v.Scope, v.Suspend, v.Rule, want.Class, want.Scope, want.Suspend, want.Rule)
		}
	}
	return nil
}
