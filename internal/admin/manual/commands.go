package manual

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Commands makes the reference of the commands, docs/ref/cli.md.
func Commands(app *kong.Application) string {
	var b strings.Builder
	b.WriteString("<!-- Made from the help texts of the program by \"make docs\". -->\n\n# Commands\n\n")
	fmt.Fprintf(&b, "%s\n\n%s\n", app.Help, paragraphs(app.Detail))
	b.WriteString("\nFlags of every command:\n\n")
	flagTable(&b, app.Flags)
	b.WriteString("\n| command | what it does |\n|---|---|\n")
	leaves := leavesOf(app)
	for _, n := range leaves {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", n.FullPath(), strings.ReplaceAll(n.FullPath(), " ", "-"), escape(n.Help))
	}
	for _, n := range leaves {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n    %s %s\n", n.FullPath(), escape(n.Help), app.Name, n.Summary())
		if n.Detail != "" {
			fmt.Fprintf(&b, "\n%s\n", paragraphs(n.Detail))
		}
		if len(n.Positional) > 0 {
			b.WriteString("\n| argument | meaning |\n|---|---|\n")
			for _, p := range n.Positional {
				fmt.Fprintf(&b, "| `%s` | %s |\n", p.Summary(), escape(p.Help))
			}
		}
		if flags := ownFlags(n); len(flags) > 0 {
			b.WriteString("\n")
			flagTable(&b, flags)
		}
		b.WriteString(examplesOf(n))
	}
	return b.String()
}

func flagTable(b *strings.Builder, flags []*kong.Flag) {
	b.WriteString("| flag | meaning |\n|---|---|\n")
	for _, f := range flags {
		if !f.Hidden {
			fmt.Fprintf(b, "| `%s` | %s |\n", flagName(f), escape(f.Help))
		}
	}
}

// CommandsMan makes kanmon(1).
func CommandsMan(app *kong.Application) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s 1 \"\" %s \"User commands\"\n==================================================\n\n", app.Name, app.Name)
	fmt.Fprintf(&b, "# NAME\n\n%s - %s\n\n# SYNOPSIS\n\n**%s** *command* [*flags*]\n\n", app.Name, strings.ToLower(app.Help[:1])+strings.TrimSuffix(app.Help[1:], "."), app.Name)
	fmt.Fprintf(&b, "# DESCRIPTION\n\n%s\n\n# OPTIONS\n\n", paragraphs(app.Detail))
	flagList(&b, app.Flags)
	b.WriteString("# COMMANDS\n\n")
	for _, n := range leavesOf(app) {
		fmt.Fprintf(&b, "## %s %s\n\n%s\n\n", app.Name, escape(n.Summary()), escape(n.Help))
		if n.Detail != "" {
			fmt.Fprintf(&b, "%s\n\n", paragraphs(n.Detail))
		}
		for _, p := range n.Positional {
			fmt.Fprintf(&b, "*%s*\n:   %s\n\n", p.Name, escape(p.Help))
		}
		flagList(&b, ownFlags(n))
		if examples := examplesOf(n); examples != "" {
			b.WriteString(strings.TrimPrefix(examples, "\n") + "\n")
		}
	}
	b.WriteString("# SEE ALSO\n\n**kanmon.toml**(5), **nft**(8), **systemctl**(1)\n")
	return b.String()
}

func flagList(b *strings.Builder, flags []*kong.Flag) {
	for _, f := range flags {
		if !f.Hidden {
			fmt.Fprintf(b, "**%s**\n:   %s\n\n", flagName(f), escape(f.Help))
		}
	}
}

// leavesOf are the commands themselves, without what groups them.
func leavesOf(app *kong.Application) []*kong.Node { return app.Leaves(true) }

// ownFlags are those of a command and of its group, without those of every command.
func ownFlags(n *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	for ; n.Type != kong.ApplicationNode; n = n.Parent {
		flags = append(flags, n.Flags...)
	}
	return flags
}

// flagName is a flag as it is written: "-c, --config=FILE".
func flagName(f *kong.Flag) string {
	name := "--" + f.Name
	if !f.IsBool() {
		name += "=" + f.FormatPlaceHolder()
	}
	if f.Short != 0 {
		name = "-" + string(f.Short) + ", " + name
	}
	return name
}

// paragraphs keeps the empty lines of a text, and what is indented as it is.
func paragraphs(text string) string { return escape(strings.TrimSpace(text)) }

// escape keeps Markdown from reading a placeholder as HTML, or a bar as the end of a cell.
func escape(text string) string {
	return strings.NewReplacer("<", "\\<", ">", "\\>", "|", "\\|", "*", "\\*").Replace(text)
}
