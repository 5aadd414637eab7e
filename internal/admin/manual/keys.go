package manual

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kanmon/internal/config"
)

// A block is a part of docs/ref/configuration.md that is made, named by the heading of the table.
var block = regexp.MustCompile(`(?s)<!-- keys: (.+?) -->\n.*?<!-- /keys -->\n`)

// FillConfiguration puts the tables of keys into the page.
func FillConfiguration(page string, tables []config.Table) (string, error) {
	return fill(page, tables, func(t *config.Table) string {
		return fmt.Sprintf("<!-- keys: %s -->\n%s<!-- /keys -->\n", t.Heading, keyTable(t))
	})
}

// fill replaces the blocks of a page. Each table has one.
func fill(page string, tables []config.Table, made func(*config.Table) string) (string, error) {
	missing := make([]string, len(tables))
	for i := range tables {
		missing[i] = tables[i].Heading
	}
	var err error
	page = block.ReplaceAllStringFunc(page, func(found string) string {
		heading := block.FindStringSubmatch(found)[1]
		i := slices.IndexFunc(tables, func(t config.Table) bool { return t.Heading == heading })
		at := slices.Index(missing, heading)
		if i < 0 || at < 0 {
			err = fmt.Errorf("the page has a block of keys %q, which is no table or stands there twice", heading)
			return found
		}
		missing = slices.Delete(missing, at, at+1)
		return made(&tables[i])
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("the page has no block %q", "<!-- keys: "+missing[0]+" -->")
	}
	return page, err
}

// keyTable has a row for each key. The anchor is the key's path: configuration.md#rescue.mode.
func keyTable(t *config.Table) string {
	var b strings.Builder
	b.WriteString("| key | value | default | example | meaning |\n|---|---|---|---|---|\n")
	for i := range t.Keys {
		k := &t.Keys[i]
		text := k.Text
		if k.Restart {
			text += ". *Restart*"
		}
		fmt.Fprintf(&b, "| <a id=\"%s\"></a>`%s` | %s | %s | `%s` | %s |\n", k.Path(), k.Name, k.Value, k.Fallback(), k.Example, text)
	}
	return b.String()
}

// DescribeKey says what a key does, or lists the keys of a table. A key may be named without its table where there is one of this name.
func DescribeKey(tables []config.Table, name string) (string, bool) {
	name = strings.NewReplacer("[", "", "]", "", ".NAME", "").Replace(name)
	var found []*config.Key
	for i := range tables {
		t := &tables[i]
		if t.Name == name && name != "" {
			return describeTable(t), true
		}
		for j := range t.Keys {
			if k := &t.Keys[j]; k.Path() == name {
				return describeKey(k), true
			} else if k.Name == name {
				found = append(found, k)
			}
		}
	}
	texts := make([]string, len(found))
	for i, k := range found {
		texts[i] = describeKey(k)
	}
	return strings.Join(texts, "\n"), len(found) > 0
}

func describeTable(t *config.Table) string {
	var b strings.Builder
	b.WriteString(t.Heading + "\n")
	for i := range t.Keys {
		fmt.Fprintf(&b, "  %s\n", t.Keys[i].Path())
	}
	return b.String()
}

func describeKey(k *config.Key) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", k.Path())
	for _, row := range [][2]string{{"value", k.Value}, {"default", k.Fallback()}, {"example", k.Name + " = " + k.Example}, {"reload", reload(k)}} {
		fmt.Fprintf(&b, "  %-9s%s\n", row[0], plain(row[1]))
	}
	for _, line := range wrap(plain(k.Text), 76) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}

func reload(k *config.Key) string {
	if k.Restart {
		return "refuses a change: restart kanmon"
	}
	return "takes a change"
}

// ConfigurationMan makes kanmon.toml(5) of the page of the configuration, with a paragraph for each key in place of the tables.
func ConfigurationMan(page string, tables []config.Table) (string, error) {
	page, err := fill(page, tables, keyList)
	if err != nil {
		return "", err
	}
	_, body, _ := strings.Cut(page, "\n") // the page's title
	return "kanmon.toml 5 \"\" kanmon \"File formats\"\n==================================================\n\n" +
		"# NAME\n\nkanmon.toml - configuration of kanmon\n\n# DESCRIPTION\n" + manText(body) +
		"\n# SEE ALSO\n\n**kanmon**(1)\n", nil
}

func keyList(t *config.Table) string {
	var b strings.Builder
	for i := range t.Keys {
		k := &t.Keys[i]
		fmt.Fprintf(&b, "**%s** = %s\n:   %s", k.Name, k.Value, k.Text)
		if !strings.HasSuffix(k.Text, ".") {
			b.WriteString(".")
		}
		fmt.Fprintf(&b, " Default: %s. Example: `%s`.", k.Fallback(), k.Example)
		if k.Restart {
			b.WriteString(" A reload refuses a change.")
		}
		b.WriteString("\n\n")
	}
	return b.String()
}

var (
	link    = regexp.MustCompile(`\[([^\]]+)\]\(([^)]*)\)`)
	heading = regexp.MustCompile(`(?m)^(#+) (.*)$`)
	mdTable = regexp.MustCompile(`(?m)(?:^\|.*\|\n)+`)
	anchor  = regexp.MustCompile(`<a id="[^"]*"></a>`)
)

// manText is Markdown of the pages as a man page can have it: links are their texts, headings one level up.
func manText(page string) string {
	page = anchor.ReplaceAllString(page, "")
	page = mdTable.ReplaceAllStringFunc(link.ReplaceAllString(page, "$1"), rowsAsList)
	return heading.ReplaceAllStringFunc(page, func(line string) string {
		return strings.TrimPrefix(line, "#")
	})
}

// rowsAsList makes a list of a table, which a terminal is too narrow for.
func rowsAsList(table string) string {
	rows := strings.Split(strings.TrimSpace(table), "\n")
	header := cells(rows[0])
	var b strings.Builder
	for _, row := range rows[min(2, len(rows)):] {
		values := cells(row)
		fmt.Fprintf(&b, "**%s**\n:   ", values[0])
		for i := 1; i < min(len(values), len(header)); i++ {
			fmt.Fprintf(&b, "%s: %s. ", header[i], values[i])
		}
		b.WriteString("\n\n")
	}
	return b.String()
}

func cells(row string) []string {
	found := strings.Split(strings.Trim(row, "|"), "|")
	for i := range found {
		found[i] = strings.TrimSpace(found[i])
	}
	return found
}

// plain is Markdown as a terminal shows it.
func plain(text string) string {
	return strings.NewReplacer("`", "", "**", "").Replace(link.ReplaceAllString(text, "$1"))
}

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
