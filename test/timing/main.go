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
	most := flag.Duration("for", 15*time.Minute, "begin no further world after so long")
	flag.Parse()
	var err error
	if *sim != "" {
		err = gradeAll(*sim, strings.Split(*families, ","), *worlds, *seed, *most)
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

// feed writes what the detector raises of a stream, and to ends, where it is not nil, the first and the last line of each mail.
func feed(in io.Reader, out, ends io.Writer, all bool) error {
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
		if ends != nil && (mails.new || o != nil) {
			if _, err := fmt.Fprintf(ends, "%s\n", lines.Bytes()); err != nil {
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
