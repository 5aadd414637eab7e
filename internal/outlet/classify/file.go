package classify

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// An Error is one thing wrong in a file of rules.
type Error struct {
	File string
	Line int // 1 for the first; that of the [[rule]], [[list]] or [[test]] where the fault is in more than one key
	Text string
}

// Error returns file, line and what is wrong.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// A file is the TOML of rules. docs/ref/classification.md explains every key.
type file struct {
	Disable []string            `toml:"disable"`
	Words   map[string][]string `toml:"words"`
	Weights map[string]Suspend  `toml:"weights"`
	Lists   []listTable         `toml:"list"`
	Rules   []ruleTable         `toml:"rule"`
	Tests   []testTable         `toml:"test"`

	name string
	data []byte
}

type listTable struct {
	Name   string   `toml:"name"`
	Kind   string   `toml:"kind"`
	Weight Weight   `toml:"weight"`
	Names  []string `toml:"names"`
	Zones  []string `toml:"zones"`
	Delist string   `toml:"delist"`
}

type ruleTable struct {
	Name      string      `toml:"name"`
	Class     Class       `toml:"class"`
	Scope     *Scope      `toml:"scope"`
	Suspend   *Suspend    `toml:"suspend"`
	Count     Count       `toml:"count"`
	Phases    []string    `toml:"phases"`
	Providers []string    `toml:"providers"`
	Codes     []codeRange `toml:"codes"`
	Nested    []codeRange `toml:"nested"`
	Any       []string    `toml:"any"`
	All       []string    `toml:"all"`
	None      []string    `toml:"none"`
	Regexps   []string    `toml:"regexps"`
	Lists     []string    `toml:"lists"`
	Source    string      `toml:"source"`
	Advice    string      `toml:"advice"`
	Shares    bool        `toml:"shares"`
}

type testTable struct {
	Reply    string     `toml:"reply"`
	Phase    Phase      `toml:"phase"`
	Provider string     `toml:"provider"`
	IP       netip.Addr `toml:"ip"`
	Class    *Class     `toml:"class"`
	Scope    *Scope     `toml:"scope"`
	Suspend  *Suspend   `toml:"suspend"`
	Rule     string     `toml:"rule"`
}

// UnmarshalText reads a code or a range of codes.
func (c *codeRange) UnmarshalText(text []byte) (err error) {
	*c, err = parseCode(string(text))
	return err
}

func decode(name string, data []byte) (*file, error) {
	f := &file{name: name, data: data}
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(f)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		first := &unknown.Errors[0]
		line, _ := first.Position()
		return nil, &Error{name, line, fmt.Sprintf("unknown key %s: %s", strings.Join(first.Key(), "."), knownKeys(first.Key()))}
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return nil, &Error{name, line, strings.TrimPrefix(wrong.Error(), "toml: ")}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func knownKeys(key []string) string {
	switch key[0] {
	case "rule":
		return "a [[rule]] has name, class, scope, suspend, count, phases, providers, codes, nested, any, all, none, regexps, lists, source, advice, shares"
	case "list":
		return "a [[list]] has name, kind, weight, names, zones, delist"
	case "test":
		return "a [[test]] has reply, phase, provider, ip, class, scope, suspend, rule"
	}
	return "a file has disable, [words], [weights], [[list]], [[rule]], [[test]]"
}

// wrong makes an error for the n-th table of a kind, 0 for the first.
func (f *file) wrong(kind string, n int, format string, args ...any) error {
	return &Error{f.name, f.line("[["+kind+"]]", n), fmt.Sprintf(format, args...)}
}

// line finds where the n-th table with this header begins.
func (f *file) line(header string, n int) int {
	line := 0
	for text := range bytes.Lines(f.data) {
		line++
		if bytes.HasPrefix(bytes.ReplaceAll(text, []byte(" "), nil), []byte(header)) {
			if n == 0 {
				return line
			}
			n--
		}
	}
	return 1
}
