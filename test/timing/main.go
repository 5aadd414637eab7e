// Command timing feeds the product's detector with a stream of observations, line by line, and writes what it raises.
//
//	go run ./test/timing -obs obs.jsonl > findings.jsonl
//	go run ./test/timing -sim FOLDER [-families dev-plain,dev-benign] [-worlds 4]
//
// A line of the stream is a reply, a refused connection or a body, in order of time. A line of the findings is one that begins with the
// scope "this IP here": the others are no restrictions. It is written before the next line is read.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"kanmon/internal/event/timing"
)

func main() {
	file := flag.String("obs", "", "the `file` of observations, - for standard input")
	all := flag.Bool("all", false, "write all that is told, with scope and change, in words")
	sim := flag.String("sim", "", "grade with a simulator: its `folder` or program")
	families := flag.String("families", "dev-plain,dev-mild,dev-benign,dev-few", "which families of it")
	worlds := flag.Int("worlds", 4, "how many worlds of each family")
	seed := flag.Int("seed", 1000, "the seed of the first of them")
	jobs := flag.Int("jobs", runtime.NumCPU(), "how many worlds at a time; one takes half a GB of disk meanwhile")
	most := flag.Duration("for", 15*time.Minute, "begin no further world after so long")
	flag.Parse()
	var err error
	if *sim != "" {
		g := grading{sim: *sim, families: strings.Split(*families, ","), worlds: *worlds, seed: *seed, jobs: max(1, *jobs), until: time.Now().Add(*most)}
		err = g.all(os.Stdout)
	} else {
		err = run(*file, *all)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "timing:", err)
		os.Exit(1)
	}
}

func run(file string, all bool) error {
	if file == "" {
		return fmt.Errorf("say -obs FILE, the observations to read (- is standard input), or -sim FOLDER")
	}
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	return feed(in, os.Stdout, nil, all)
}

// found is a line of the findings.
type found struct {
	T        float64 `json:"t"`
	IP       string  `json:"ip"`
	Provider string  `json:"provider"`
	Phase    string  `json:"phase"`
	Change   string  `json:"change,omitempty"`
	Scope    string  `json:"scope,omitempty"`
}

// key is a sending IP at a provider.
type key struct{ IP, Provider string }

// ends takes the first and the last line of each mail of some keys.
type ends struct {
	to   io.Writer
	keys map[key]bool
}

func (e *ends) take(l *line, text []byte) error {
	if e == nil || !e.keys[key{l.IP, l.Provider}] {
		return nil
	}
	_, err := fmt.Fprintf(e.to, "%s\n", text)
	return err
}

// feed writes what the detector raises of a stream.
func feed(in io.Reader, out io.Writer, ends *ends, all bool) error {
	d := timing.New()
	mails := newMails()
	write := json.NewEncoder(out)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		o, err := mails.take(&l)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if mails.new || o != nil {
			if err := ends.take(&l, lines.Bytes()); err != nil {
				return err
			}
		}
		if o == nil {
			continue
		}
		for _, f := range d.Observe(o) {
			w := found{T: l.T, IP: f.IP, Provider: f.Provider, Phase: f.Phase.String()}
			switch {
			case all:
				w.Change, w.Scope = f.Change.String(), f.Scope.String()
			case f.Change != timing.Begun || f.Scope != timing.ThisIPHere:
				continue
			}
			if err := write.Encode(&w); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
