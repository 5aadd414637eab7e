package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A grading plays worlds of a simulator and adds up its marks.
type grading struct {
	sim      string // its program
	dir      string // where it runs: it looks for its families there
	worlds   int    // a family
	seed     int    // of the first
	jobs     int    // worlds at a time
	until    time.Time
	families []string
}

// marks are what a family's worlds came to.
type marks struct {
	worlds int
	kinds  map[string]*found20
	large  map[string]*found20 // of keys with at least 60 mails a day
	wrong  int                 // findings that are false
	months float64
	causes map[string]int
}

type found20 struct{ n, found, in20 int }

func newMarks() *marks {
	return &marks{kinds: map[string]*found20{}, large: map[string]*found20{}, causes: map[string]int{}}
}

// all builds the simulator where it is a folder, and grades.
func (g *grading) all(out io.Writer) error {
	info, err := os.Stat(g.sim)
	if err != nil {
		return fmt.Errorf("-sim %s: the simulator's folder or program: %w", g.sim, err)
	}
	scratch, err := os.MkdirTemp("", "kanmon-timing")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // it was for this run
	g.dir = filepath.Dir(g.sim)
	if info.IsDir() {
		g.dir, g.sim = g.sim, filepath.Join(scratch, "sim")
		build := exec.Command("go", "build", "-o", g.sim, ".")
		build.Dir = g.dir
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the simulator in %s: %w\n%s", g.dir, err, out)
		}
	} else if g.sim, err = filepath.Abs(g.sim); err != nil {
		return err
	}
	for _, f := range g.families {
		began := time.Now()
		m, err := g.family(f, scratch)
		if err != nil {
			return err
		}
		m.print(out, f, g.seed, time.Since(began))
	}
	return nil
}

// family plays the worlds of one, some at a time.
func (g *grading) family(name, scratch string) (*marks, error) {
	sum, worlds := newMarks(), errgroup.Group{}
	worlds.SetLimit(g.jobs)
	var adding sync.Mutex
	for s := g.seed; s < g.seed+g.worlds; s++ {
		worlds.Go(func() error {
			if time.Now().After(g.until) {
				return nil
			}
			m := newMarks()
			if err := g.world(m, name, s, filepath.Join(scratch, fmt.Sprint("world", s))); err != nil {
				return err
			}
			adding.Lock()
			defer adding.Unlock()
			sum.sum(m)
			return nil
		})
	}
	return sum, worlds.Wait()
}

// sum adds the marks of another world.
func (m *marks) sum(of *marks) {
	m.worlds += of.worlds
	m.wrong += of.wrong
	m.months += of.months
	for name, k := range of.kinds {
		add(m.kinds, name, *k)
	}
	for name, k := range of.large {
		add(m.large, name, *k)
	}
	for cause, n := range of.causes {
		m.causes[cause] += n
	}
}

// world plays one and adds its marks.
func (g *grading) world(m *marks, family string, seed int, dir string) error {
	defer os.RemoveAll(dir) //nolint:errcheck // a world is large, and made again from its seed
	if _, err := g.run("-stream", dir, "-family", family, "-seed", fmt.Sprint(seed)); err != nil {
		return err
	}
	keys, err := restricted(filepath.Join(dir, "truth.json"))
	if err != nil {
		return err
	}
	findings := filepath.Join(dir, "findings.jsonl")
	if err := feedFile(filepath.Join(dir, "obs.jsonl"), findings, keys); err != nil {
		return err
	}
	said, err := g.run("-grade", dir, "-findings", findings)
	if err != nil {
		return err
	}
	m.worlds++
	if err := m.add(said); err != nil {
		return err
	}
	large := filepath.Join(dir, "large")
	if err := withLarge(dir, large); err != nil {
		return err
	}
	if said, err = g.run("-grade", large, "-findings", findings); err != nil {
		return err
	}
	of := newMarks()
	if err := of.add(said); err != nil {
		return err
	}
	for name, k := range of.kinds {
		add(m.large, name, *k)
	}
	return nil
}

// largeFrom is how many mails a day a key has to have, for what is promised.
const largeFrom = 60

// withLarge makes a world beside another one: its restrictions are those of keys that send much. What is false is not to be read of it.
func withLarge(dir, large string) error {
	b, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		return err
	}
	var whole map[string]json.RawMessage
	var until float64
	var some []map[string]any
	if err := errors.Join(json.Unmarshal(b, &whole), json.Unmarshal(whole["until"], &until), json.Unmarshal(whole["restrictions"], &some)); err != nil {
		return fmt.Errorf("truth.json: %w", err)
	}
	left := some[:0]
	for _, r := range some {
		from, _ := r["from"].(float64)
		to, _ := r["to"].(float64)
		if mails, _ := r["mails"].(float64); mails >= largeFrom*(min(to, until)-from)/86400 {
			left = append(left, r)
		}
	}
	if whole["restrictions"], err = json.Marshal(left); err != nil {
		return err
	}
	if b, err = json.Marshal(whole); err != nil {
		return err
	}
	return errors.Join(os.Mkdir(large, 0o755), os.WriteFile(filepath.Join(large, "truth.json"), b, 0o600), os.Link(filepath.Join(dir, "obs.jsonl"), filepath.Join(large, "obs.jsonl")))
}

func add(to map[string]*found20, name string, k found20) {
	if to[name] == nil {
		to[name] = new(found20)
	}
	n := to[name]
	n.n, n.found, n.in20 = n.n+k.n, n.found+k.found, n.in20+k.in20
}

// restricted reads which keys a world restricts.
func restricted(truth string) (map[key]bool, error) {
	b, err := os.ReadFile(truth)
	if err != nil {
		return nil, err
	}
	var t struct{ Restrictions []key }
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("%s: %w", truth, err)
	}
	keys := map[key]bool{}
	for _, k := range t.Restrictions {
		keys[k] = true
	}
	return keys, nil
}

// feedFile feeds a stream from a file, and leaves in its place what the marks need of it: when mails of restricted keys began and ended.
// That is a small part of it, and marking would take longer than all else.
func feedFile(stream, findings string, keys map[key]bool) error {
	in, err := os.Open(stream)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(findings)
	if err != nil {
		return err
	}
	short := stream + ".ends"
	file, err := os.Create(short)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	few := bufio.NewWriter(file)
	if err := errors.Join(feed(in, out, &ends{few, keys}, false), few.Flush(), file.Close(), out.Close()); err != nil {
		return err
	}
	return os.Rename(short, stream)
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
			add(m.kinds, name, found20{n, found, in20})
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

func (m *marks) print(out io.Writer, family string, seed int, took time.Duration) {
	fmt.Fprintf(out, "## %s, %d worlds from seed %d, in %s\n\n| restriction | number | found at all | within 20 mails | 95 %% | of 60 mails a day and more | within 20 | 95 %% |\n|---|---|---|---|---|---|---|---|\n", family, m.worlds, seed, took.Round(time.Second))
	for _, name := range sorted(m.kinds) {
		k := m.kinds[name]
		fmt.Fprintf(out, "| %s | %d | %d | %s |", name, k.n, k.found, share(k.in20, k.n))
		if k = m.large[name]; k == nil {
			k = new(found20)
		}
		fmt.Fprintf(out, " %d | %s |\n", k.n, share(k.in20, k.n))
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

// share writes a share, and its 95 % interval.
func share(k, n int) string {
	low, high := wilson(k, n)
	return fmt.Sprintf("%.0f %% | %.0f–%.0f %%", 100*float64(k)/float64(max(1, n)), 100*low, 100*high)
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
