package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A docRow is a line of a table in docs/configuration.md.
type docRow struct{ key, value, fallback, example, meaning string }

// The documentation names every key that the program knows, and no other; its defaults are the program's; its examples parse.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := readDocTables(t, string(text))
	config := reflect.TypeFor[Config]()
	var top []string
	for i := range config.NumField() {
		field := config.Field(i)
		name := field.Tag.Get("toml")
		switch {
		case name == "":
		case field.Type.Kind() == reflect.Struct:
			compareKeys(t, "["+name+"]", keysOf(field.Type), tables)
		case field.Type.Kind() == reflect.Map:
			compareKeys(t, "["+name+".NAME]", keysOf(field.Type.Elem()), tables)
		case field.Type.Kind() == reflect.Slice:
			compareKeys(t, "[["+name+"]]", keysOf(field.Type.Elem()), tables)
		default:
			top = append(top, name)
		}
	}
	compareKeys(t, "Top level", top, tables)
	for heading := range tables {
		t.Errorf("%s is documented but not known", heading)
	}
}

var docLine = regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| (.+) \\| (.+) \\| `(.+)` \\| (.+) \\|$")

func readDocTables(t *testing.T, text string) map[string][]docRow {
	t.Helper()
	tables := map[string][]docRow{}
	heading := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if h, found := strings.CutPrefix(line, "## "); found {
			heading = h
		}
		if m := docLine.FindStringSubmatch(line); m != nil {
			tables[heading] = append(tables[heading], docRow{m[1], m[2], m[3], m[4], m[5]})
		} else if strings.HasPrefix(line, "| `") {
			t.Errorf("%s: a row of another form: %s", heading, line)
		}
	}
	return tables
}

func compareKeys(t *testing.T, heading string, keys []string, tables map[string][]docRow) {
	t.Helper()
	var documented []string
	for _, row := range tables[heading] {
		documented = append(documented, row.key)
		compareDefault(t, heading, row)
		parseAlone(t, heading, row.key, row.example)
	}
	delete(tables, heading)
	if !slices.Equal(keys, documented) {
		t.Errorf("%s: documented %v, known %v", heading, documented, keys)
	}
}

// compareDefault sets a key to its documented default, which must change nothing.
func compareDefault(t *testing.T, heading string, row docRow) {
	t.Helper()
	if !strings.HasPrefix(row.fallback, "`") {
		return
	}
	got := parseAlone(t, heading, row.key, strings.Trim(row.fallback, "`"))
	want := parseAlone(t, heading, "", "")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s %s: %s is not the default", heading, row.key, row.fallback)
	}
}

// parseAlone reads a file with one key. The rules between keys are not applied: the others are missing.
func parseAlone(t *testing.T, heading, key, value string) Config {
	t.Helper()
	doc := ""
	if heading != "Top level" {
		doc = heading + "\n"
	}
	if key != "" {
		doc += key + " = " + value + "\n"
	}
	root, syntax := parseTree("kanmon.toml", []byte(doc))
	if syntax != nil {
		t.Fatalf("%s %s: %v", heading, key, syntax)
	}
	cfg := defaults()
	d := &decoder{file: "kanmon.toml", doc: []byte(doc), places: map[string]span{}}
	d.decodeInto(root, cfg)
	d.complete(cfg)
	if len(d.errs) > 0 {
		t.Errorf("%s %s:\n%v", heading, key, d.errs)
	}
	// An empty list in the file is as good as none.
	if len(cfg.Intercept.Sources) == 0 {
		cfg.Intercept.Sources = nil
	}
	if len(cfg.Intercept.Interfaces) == 0 {
		cfg.Intercept.Interfaces = nil
	}
	return *cfg
}

// Whole examples of the documentation are files that load.
func TestDocumentedFiles(t *testing.T) {
	for _, page := range []string{"configuration.md", "routing.md"} {
		text, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(text), "```toml\n")[1:]
		if len(blocks) == 0 {
			t.Fatalf("no example in %s", page)
		}
		for _, block := range blocks {
			doc, _, _ := strings.Cut(block, "```")
			if strings.Contains(doc, "[[provider]]") {
				if _, errs := parseProviders(page, []byte(doc)); len(errs) > 0 {
					t.Errorf("%v\n%s", errs, doc)
				}
				continue
			}
			if _, err := Parse(page, []byte(doc)); err != nil {
				t.Errorf("%v\n%s", err, doc)
			}
		}
	}
}
