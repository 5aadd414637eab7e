package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// A grading plays worlds of a simulator and adds up its marks.
type grading struct {
	sim      string // its program
	dir      string // where it runs: it looks for its families there
	worlds   int    // a family
	seed     int    // of the first
	until    time.Time
	families []string
}

// marks are what a family's worlds came to.
type marks struct {
	worlds int
	kinds  map[string]*found20
	wrong  int // findings that are false
	months float64
	causes map[string]int
}

type found20 struct{ n, found, in20 int }

// gradeAll builds the simulator where it is a folder, and grades.
func gradeAll(sim string, families []string, worlds, seed int, most time.Duration) error {
	info, err := os.Stat(sim)
	if err != nil {
		return fmt.Errorf("-sim %s: the simulator's folder or program: %w", sim, err)
	}
	scratch, err := os.MkdirTemp("", "kanmon-timing")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // it was for this run
	g := grading{sim: sim, dir: filepath.Dir(sim), worlds: worlds, seed: seed, until: time.Now().Add(most), families: families}
	if info.IsDir() {
		g.dir, g.sim = sim, filepath.Join(scratch, "sim")
		build := exec.Command("go", "build", "-o", g.sim, ".")
		build.Dir = sim
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the simulator in %s: %w\n%s", sim, err, out)
		}
	} else if g.sim, err = filepath.Abs(sim); err != nil {
		return err
	}
	for _, f := range families {
		m := marks{kinds: map[string]*found20{}, causes: map[string]int{}}
		for s := seed; s < seed+worlds && time.Now().Before(g.until); s++ {
			if err := g.world(&m, f, s, filepath.Join(scratch, "world")); err != nil {
				return err
			}
		}
		m.print(os.Stdout, f, seed)
	}
	return nil
}

// world plays one and adds its marks.
func (g *grading) world(m *marks, family string, seed int, dir string) error {
	defer os.RemoveAll(dir) //nolint:errcheck // a world is large, and made again from its seed
	if _, err := g.run("-stream", dir, "-family", family, "-seed", fmt.Sprint(seed)); err != nil {
		return err
	}
	in, err := os.Open(filepath.Join(dir, "obs.jsonl"))
	if err != nil {
		return err
	}
	defer in.Close()
	findings := filepath.Join(dir, "findings.jsonl")
	out, err := os.Create(findings)
	if err != nil {
		return err
	}
	if err := errors.Join(feed(in, out, false), out.Close()); err != nil {
		return err
	}
	said, err := g.run("-grade", dir, "-findings", findings)
	if err != nil {
		return err
	}
	m.worlds++
	return m.add(said)
}

func (g *grading) run(args ...string) ([]byte, error) {
	c := exec.Command(g.sim, args...)
	c.Dir = g.dir
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", g.sim, strings.Join(args, " "), err, &complaint)
	}
	return out, nil
}

// add reads what the simulator says of a world: a head, a line a kind, and the false findings with their causes.
func (m *marks) add(said []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(said))
	for lines.Scan() {
		line := lines.Text()
		if counts, causes, ok := strings.Cut(line, "map["); ok && strings.HasPrefix(line, "false findings:") {
			var n int
			var months float64
			if _, err := fmt.Sscanf(counts, "false findings: %d in %f IP-months", &n, &months); err != nil {
				return fmt.Errorf("marks %q: %w", line, err)
			}
			m.wrong += n
			m.months += months
			m.blame(strings.TrimSuffix(causes, "]"))
			continue
		}
		var name, median string
		var n, found, in20 int
		if c, err := fmt.Sscanf(line, "%s %d %d %d %s", &name, &n, &found, &in20, &median); err == nil && c == 5 {
			k := m.kinds[name]
			if k == nil {
				k = new(found20)
				m.kinds[name] = k
			}
			k.n, k.found, k.in20 = k.n+n, k.found+found, k.in20+in20
		}
	}
	return lines.Err()
}

// blame adds causes, "name:count name:count", whose names have spaces.
func (m *marks) blame(causes string) {
	name := ""
	for _, word := range strings.Fields(causes) {
		before, count, ok := strings.Cut(word, ":")
		name = strings.TrimSpace(name + " " + before)
		var n int
		if _, err := fmt.Sscan(count, &n); ok && err == nil {
			m.causes[name] += n
			name = ""
		}
	}
}

func (m *marks) print(out io.Writer, family string, seed int) {
	fmt.Fprintf(out, "## %s, %d worlds from seed %d\n\n| restriction | number | found at all | within 20 mails | 95 %% |\n|---|---|---|---|---|\n", family, m.worlds, seed)
	for _, name := range sorted(m.kinds) {
		k := m.kinds[name]
		low, high := wilson(k.in20, k.n)
		fmt.Fprintf(out, "| %s | %d | %d | %.0f %% | %.0f–%.0f %% |\n", name, k.n, k.found, 100*float64(k.in20)/float64(max(1, k.n)), 100*low, 100*high)
	}
	low, high := poisson(m.wrong)
	months := max(m.months, 1e-9)
	fmt.Fprintf(out, "\nFalse findings: %d in %.1f IP-months: %.2f (%.2f–%.2f) an IP-month.", m.wrong, m.months, float64(m.wrong)/months, low/months, high/months)
	for _, cause := range sorted(m.causes) {
		fmt.Fprintf(out, " %s: %d.", cause, m.causes[cause])
	}
	fmt.Fprint(out, "\n\n")
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// wilson is the 95 % interval of a share.
func wilson(k, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	centre, half := p+z*z/(2*m), z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, (centre-half)/(1+z*z/m)), min(1, (centre+half)/(1+z*z/m))
}

// poisson is the 95 % interval of a count (Byar).
func poisson(n int) (low, high float64) {
	x := float64(n)
	if n > 0 {
		low = x * math.Pow(1-1/(9*x)-1.96/(3*math.Sqrt(x)), 3)
	}
	y := x + 1
	return max(0, low), y * math.Pow(1-1/(9*y)+1.96/(3*math.Sqrt(y)), 3)
}
