package manual

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A Word is what a shell may offer, and what it means.
type Word struct{ Text, Help string }

// The scripts that a shell loads. They ask the program itself, so that they stay right.
var (
	//go:embed completion/kanmon.bash
	BashScript string
	//go:embed completion/kanmon.zsh
	ZshScript string
	//go:embed completion/kanmon.fish
	FishScript string
)

// Complete returns the words that may stand in place of the last one, the words before being those behind the program's name. values gives
// what a flag or an argument of this name may be, beyond what its type says; nil for a file, or where nothing is known.
func Complete(app *kong.Application, words []string, values func(name string) []Word) []Word {
	if len(words) == 0 {
		words = []string{""}
	}
	before, last := words[:len(words)-1], words[len(words)-1]
	node, arguments, flag, onlyArguments := app.Node, 0, (*kong.Flag)(nil), false
	for _, w := range before {
		switch {
		case flag != nil:
			flag = nil
		case onlyArguments || !strings.HasPrefix(w, "-") || w == "-":
			if child := childOf(node, w); child != nil && arguments == 0 {
				node = child
			} else {
				arguments++
			}
		case w == "--":
			onlyArguments = true
		default:
			flag = awaiting(node, w)
		}
	}
	var offered []Word
	switch name, _, inWord := strings.Cut(last, "="); {
	case flag != nil:
		offered = valuesOf(flag.Value, values)
	case inWord && strings.HasPrefix(last, "--"):
		if f := flagOf(node, name); f != nil {
			for _, w := range valuesOf(f.Value, values) {
				offered = append(offered, Word{name + "=" + w.Text, w.Help})
			}
		}
	case strings.HasPrefix(last, "-") && !onlyArguments:
		offered = flagWords(node)
	default:
		offered = argumentWords(node, arguments, values)
	}
	return slices.DeleteFunc(offered, func(w Word) bool { return !strings.HasPrefix(w.Text, last) })
}

func childOf(n *kong.Node, name string) *kong.Node {
	for _, c := range n.Children {
		if !c.Hidden && (c.Name == name || slices.Contains(c.Aliases, name)) {
			return c
		}
	}
	return nil
}

// awaiting returns the flag whose value is the next word.
func awaiting(n *kong.Node, word string) *kong.Flag {
	if strings.Contains(word, "=") {
		return nil
	}
	if f := flagOf(n, word); f != nil && !f.IsBool() {
		return f
	}
	return nil
}

func flagOf(n *kong.Node, word string) *kong.Flag {
	for ; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

func flagWords(n *kong.Node) []Word {
	var words []Word
	for ; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if !f.Hidden {
				words = append(words, Word{"--" + f.Name, f.Help})
			}
		}
	}
	return words
}

// argumentWords are the commands below one, or what its next argument may be.
func argumentWords(n *kong.Node, before int, values func(string) []Word) []Word {
	var words []Word
	for _, c := range n.Children {
		if !c.Hidden && before == 0 {
			words = append(words, Word{c.Name, c.Help})
		}
	}
	if n.DefaultCmd != nil { // whose arguments may stand here, too
		n = n.DefaultCmd
	}
	if last := len(n.Positional) - 1; last >= 0 && (before <= last || n.Positional[last].IsCumulative()) {
		words = append(words, valuesOf(n.Positional[min(before, last)], values)...)
	}
	return words
}

func valuesOf(v *kong.Value, values func(string) []Word) []Word {
	if v.Enum == "" {
		return values(v.Name)
	}
	var words []Word
	for _, w := range v.EnumSlice() {
		words = append(words, Word{Text: w})
	}
	return words
}
