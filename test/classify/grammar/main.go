// Command grammar writes the refusals of package refusal as JSON lines, with their labels.
//
//	go run ./test/classify/grammar [-seed 1] [-each 170] [-lang en,de] > refusals.jsonl
//	go run ./test/classify/grammar -count
//
// The same seed and number give the same lines. With -count it prints instead how many there are of each class,
// language and template.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"kanmon/test/classify/grammar/refusal"
)

func main() {
	seed := flag.Uint64("seed", 1, "where chance begins")
	each := flag.Int("each", refusal.Each, "how many distinct texts of one template at most")
	langs := flag.String("lang", "", "languages to take, separated by commas; all if empty")
	count := flag.Bool("count", false, "print how many, not the texts")
	flag.Parse()
	if err := run(os.Stdout, *seed, *each, *langs, *count); err != nil {
		fmt.Fprintln(os.Stderr, "grammar:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, seed uint64, each int, langs string, count bool) error {
	texts, err := refusal.Generate(seed, each)
	if err != nil {
		return err
	}
	if langs != "" {
		taken := strings.Split(langs, ",")
		texts = slices.DeleteFunc(texts, func(t refusal.Text) bool { return !slices.Contains(taken, t.Lang) })
	}
	out := bufio.NewWriter(w)
	if count {
		tell(out, texts)
		return out.Flush()
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, t := range texts {
		if err := enc.Encode(t); err != nil {
			return err
		}
	}
	return out.Flush()
}

// tell prints how many texts carry each value of each label.
func tell(w io.Writer, texts []refusal.Text) {
	labels := []struct {
		name string
		of   func(refusal.Text) string
	}{
		{"suspend_max", func(t refusal.Text) string { return t.SuspendMax }},
		{"whose", func(t refusal.Text) string { return t.Whose }},
		{"mention", func(t refusal.Text) string { return fmt.Sprint(t.Mention) }},
		{"lines", func(t refusal.Text) string { return fmt.Sprint(1 + strings.Count(t.Reply, "\n")) }},
		{"phase", func(t refusal.Text) string { return t.Phase }},
		{"noise", func(t refusal.Text) string { return strings.Join(t.Noise, "+") }},
		{"lang", func(t refusal.Text) string { return t.Lang }},
		{"class", func(t refusal.Text) string { return t.Class }},
		{"template", func(t refusal.Text) string { return t.Template }},
	}
	fmt.Fprintf(w, "%d texts\n", len(texts))
	for _, label := range labels {
		n := map[string]int{}
		for _, t := range texts {
			n[label.of(t)]++
		}
		fmt.Fprintf(w, "\n%s\n", label.name)
		for _, value := range slices.Sorted(maps.Keys(n)) {
			fmt.Fprintf(w, "%7d %s\n", n[value], value)
		}
	}
}
