// Package guide reads from the pages for operators (docs/start, docs/howto) what they have a person type, so that tests type the same.
//
// What counts as typed:
//
//   - a block that begins with a word in lower case: each line, with those that a backslash continues it on;
//   - in a block with prompts ("# ", "$ ") only what stands behind one;
//   - a fenced block of sh, as one command;
//   - in a numbered step, in a paragraph that begins in bold (Before you begin, Check, Undo, Look at, Go back if), and in an item of a list
//     that begins with a command, what stands in backquotes and begins with one of the programs below, unless it has a placeholder.
//
// All other blocks are configuration, which begins with "[", or output, which begins otherwise or is fenced as text.
package guide

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Command is typed in one piece.
type Command struct {
	Page    string // below docs: "howto/install.md"
	Section string // the heading that it stands under
	Line    int
	Block   int // blocks of a page are counted from 1; 0: in a text
	Text    string
}

// String says where it stands.
func (c Command) String() string { return fmt.Sprintf("docs/%s:%d: %s", c.Page, c.Line, c.Text) }

// Pages gives those below a folder of pages, first what an operator does first.
func Pages(docs string) ([]string, error) {
	var pages []string
	for _, pattern := range []string{"howto/install.md", "start/*.md", "howto/*.md"} {
		found, err := filepath.Glob(filepath.Join(docs, pattern))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("%s has no %s: %w", docs, pattern, err)
		}
		for _, path := range found {
			if page, _ := filepath.Rel(docs, path); !slices.Contains(pages, page) {
				pages = append(pages, page)
			}
		}
	}
	return pages, nil
}

// Read gives the commands of a page in its order.
func Read(docs, page string) ([]Command, error) {
	text, err := os.ReadFile(filepath.Join(docs, page))
	if err != nil {
		return nil, err
	}
	r := reader{at: Command{Page: page}}
	for line := range strings.Lines(string(text)) {
		r.at.Line++
		r.line(strings.TrimRight(line, "\n"))
	}
	r.end()
	return r.found, nil
}

// A reader goes through a page line by line.
type reader struct {
	at    Command // where it is
	found []Command

	fence string   // what closes the fenced block that it is in; "": none
	shell bool     // the fenced block is a command
	lines []string // of the block or paragraph so far
	from  int      // line of its first one
	typed bool     // the lines are a block, not a paragraph
}

var (
	heading = regexp.MustCompile(`^#+ (.+)$`)
	steps   = regexp.MustCompile("^\\s*(?:\\d+\\. |- `|- \\*\\*|\\*\\*)")
	word    = regexp.MustCompile(`^[a-z][a-z0-9-]*(?: |$)`)
	prompt  = regexp.MustCompile(`^[#$] `)
	inline  = regexp.MustCompile("`((?:apt|cp|dnf|journalctl|kanmon|make|mv|nft|postconf|systemctl) [^`]+)`")
	blank   = regexp.MustCompile(`…|\b[A-Z]{3,}\b`) // a placeholder
)

func (r *reader) line(text string) {
	block := strings.HasPrefix(text, "    ")
	switch {
	case r.fence != "":
		if strings.HasPrefix(text, r.fence) {
			r.end()
			return
		}
	case strings.HasPrefix(text, "```"):
		r.end()
		r.fence, r.shell = "```", strings.TrimPrefix(text, "```") == "sh"
		return
	case strings.TrimSpace(text) == "":
		r.end()
		return
	case heading.MatchString(text):
		r.end()
		r.at.Section = heading.FindStringSubmatch(text)[1]
		return
	case block != r.typed, steps.MatchString(text) && !block:
		r.end()
	}
	if len(r.lines) == 0 {
		r.from, r.typed = r.at.Line, block
	}
	r.lines = append(r.lines, text)
}

// end takes what the block or paragraph has.
func (r *reader) end() {
	switch {
	case len(r.lines) == 0:
	case r.fence != "" && r.shell:
		r.at.Block++
		r.add(r.from, strings.Join(r.lines, "\n"))
	case r.fence != "":
	case r.typed:
		r.block()
	case steps.MatchString(r.lines[0]):
		r.text()
	}
	r.fence, r.shell, r.lines, r.typed = "", false, nil, false
}

func (r *reader) block() {
	r.at.Block++
	prompts := slices.ContainsFunc(r.lines, func(l string) bool { return prompt.MatchString(strings.TrimSpace(l)) })
	if !prompts && !word.MatchString(strings.TrimSpace(r.lines[0])) {
		return
	}
	for i := 0; i < len(r.lines); i++ {
		from, text := r.from+i, strings.TrimSpace(r.lines[i])
		for strings.HasSuffix(text, `\`) && i+1 < len(r.lines) {
			i++
			text = strings.TrimSuffix(text, `\`) + strings.TrimSpace(r.lines[i])
		}
		switch {
		case !prompts:
			r.add(from, text)
		case prompt.MatchString(text):
			r.add(from, text[2:])
		}
	}
}

func (r *reader) text() {
	for i, line := range r.lines {
		for _, m := range inline.FindAllStringSubmatch(line, -1) {
			if !blank.MatchString(m[1]) {
				block := r.at.Block
				r.at.Block = 0
				r.add(r.from+i, m[1])
				r.at.Block = block
			}
		}
	}
}

// comment is what a block says behind a command.
var comment = regexp.MustCompile(`\s{2,}# .*$`)

func (r *reader) add(line int, text string) {
	c := r.at
	c.Line, c.Text = line, comment.ReplaceAllString(text, "")
	r.found = append(r.found, c)
}

// FirstMail gives the block of the page of the installation that leads from the package to the first mail on record.
func FirstMail(commands []Command) []Command {
	return slices.DeleteFunc(slices.Clone(commands), func(c Command) bool { return c.Page != "howto/install.md" || c.Block != 1 })
}
