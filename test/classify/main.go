// Command classify measures the built-in rules of internal/outlet/classify, or an operator's, on labelled replies.
//
//	go run ./test/classify [-rules FILE] [-only CORPUS,…] [-except CORPUS,…] [-wrong] [-mention | -mention-more] FILE.jsonl
//
// A line is an object with reply, label, and if there are any id, accept (labels that also count as right), suspend_ip (yes,
// may, no), stage (the phase), provider, ip and corpus. It exits with 1 if a reply with suspend_ip no would suspend.
// With -mention it puts our IP into every reply (mention.go), with -mention-more in ways that are less usual, too.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"kanmon/internal/outlet/classify"
)

// A record is one labelled reply.
type record struct {
	ID       string     `json:"id"`
	Reply    string     `json:"reply"`
	Label    string     `json:"label"`
	Accept   []string   `json:"accept"`
	Suspend  string     `json:"suspend_ip"`
	Stage    string     `json:"stage"`
	Provider string     `json:"provider"`
	IP       netip.Addr `json:"ip"`
	Corpus   string     `json:"corpus"`
}

func main() {
	rulesFile := flag.String("rules", "", "rules in front of the built-in ones")
	only := flag.String("only", "", "corpora to take, separated by commas; all if empty")
	except := flag.String("except", "", "corpora to leave out")
	wrong := flag.Bool("wrong", false, "print every reply whose label is wrong")
	mention := flag.Bool("mention", false, "also put our IP into every reply in the usual ways")
	more := flag.Bool("mention-more", false, "also put our IP into every reply in more ways")
	flag.Parse()
	quoted := 0
	switch {
	case *more:
		quoted = len(ways)
	case *mention:
		quoted = usualWays
	}
	if err := run(flag.Arg(0), *rulesFile, selection(*only, *except), *wrong, ways[:quoted]); err != nil {
		fmt.Fprintln(os.Stderr, "classify-report:", err)
		os.Exit(1)
	}
}

// selection says which corpora count.
func selection(only, except string) func(corpus string) bool {
	taken, left := strings.Split(only, ","), strings.Split(except, ",")
	return func(corpus string) bool {
		return (only == "" || slices.Contains(taken, corpus)) && (except == "" || !slices.Contains(left, corpus))
	}
}

func run(path, rulesFile string, take func(string) bool, wrong bool, ways []string) error {
	if path == "" {
		return errors.New("no file given: make classify-report FILE=replies.jsonl")
	}
	rules, err := classify.Builtin()
	if err != nil {
		return err
	}
	if rulesFile != "" {
		data, err := os.ReadFile(rulesFile)
		if err != nil {
			return err
		}
		if rules, err = classify.Parse(rulesFile, data); err != nil {
			return err
		}
	}
	records, err := load(path, take)
	if err != nil {
		return err
	}
	t := measure(rules, records)
	t.print(os.Stdout, wrong)
	if len(ways) > 0 {
		m := measureMentions(rules, records, ways)
		m.print(os.Stdout, wrong)
		if m.yes+m.rescued+m.believed > 0 {
			return fmt.Errorf("%d suspensions, %d rescues for a mention, %d suspensions for a stranger's listing", m.yes, m.rescued, m.believed)
		}
	}
	if len(t.falseYes) > 0 {
		return fmt.Errorf("%d false suspensions", len(t.falseYes))
	}
	return nil
}

func load(path string, take func(string) bool) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var records []record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if r.Reply == "" || r.Label == "" {
			return nil, fmt.Errorf("%s:%d: want reply and label", path, n)
		}
		if take(r.Corpus) {
			records = append(records, r)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%s: no replies", path)
	}
	return records, nil
}
