package intercept

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DefaultReport is where a guard tells how it is, unless it is told otherwise: in memory, for it is told every few seconds.
const DefaultReport = "/run/kanmon-rules"

// A Report is the folder of the file by which a guard tells others how it and the rules are. To read it needs no privilege but the
// file's.
type Report struct {
	Dir string // "": DefaultReport
}

// A Guarding is how a guard and its rules are.
type Guarding struct {
	Since time.Time `json:"since"`          // the guard's start
	Told  time.Time `json:"told"`           // this, last
	Ended time.Time `json:"ended,omitzero"` // the guard has
	Seen  time.Time `json:"seen,omitzero"`  // the rules, in force, last

	Unguarded         string   `json:"unguarded,omitempty"` // why there is nothing to guard
	Damaged           string   `json:"damaged,omitempty"`   // what is wrong with what is remembered
	Lost              []string `json:"lost,omitempty"`      // what is not in force
	MissingInterfaces []string `json:"missing_interfaces,omitempty"`

	Episodes int           `json:"episodes"` // since the guard's start
	Open     time.Duration `json:"open"`     // for how long mail could leave directly in all of them, in nanoseconds
	Last     *Episode      `json:"last,omitempty"`
}

// An Episode is a time in which the rules were not in force.
type Episode struct {
	At   time.Time     `json:"at"`
	For  time.Duration `json:"for"` // in nanoseconds
	Lost []string      `json:"lost"`
	By   string        `json:"by,omitempty"` // "nft (process 812)"
	Open bool          `json:"open"`         // mail could leave directly
}

// ErrNoGuard is seen where no guard runs.
var ErrNoGuard = errors.New("no guard runs: rules that another program takes away stay away")

// Read returns how a running guard is.
func (r *Report) Read() (Guarding, error) {
	g, err := r.read()
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!g.Ended.IsZero() || time.Since(g.Told) > 3*guardLook) {
		return g, ErrNoGuard
	}
	return g, err
}

func (r *Report) read() (g Guarding, err error) {
	data, err := os.ReadFile(r.file())
	if err != nil {
		return g, err
	}
	if err := json.Unmarshal(data, &g); err != nil {
		return g, fmt.Errorf("%s: %w", r.file(), err)
	}
	return g, nil
}

// lastSeen is when an earlier guard has seen the rules in force.
func (r *Report) lastSeen() time.Time {
	if r == nil {
		return time.Time{}
	}
	g, _ := r.read() // without one it is not known
	return g.Seen
}

func (r *Report) write(g Guarding) error {
	if r == nil {
		return nil
	}
	data, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir(), 0o755); err != nil {
		return err
	}
	return replaceFile(r.file(), append(data, '\n'))
}

func (r *Report) dir() string  { return cmp.Or(r.Dir, DefaultReport) }
func (r *Report) file() string { return filepath.Join(r.dir(), "guard.json") }

// Fine reports whether the rules are in force and guarded, and remembered.
func (g Guarding) Fine() bool { return g.Unguarded == "" && g.Damaged == "" && len(g.Lost) == 0 }

// String tells it in a line.
func (g Guarding) String() string {
	if g.Damaged != "" && g.Unguarded == "" {
		return g.rules() + "; " + g.Damaged
	}
	return g.rules()
}

func (g Guarding) rules() string {
	switch {
	case g.Unguarded != "":
		return "not guarded: " + g.Unguarded
	case len(g.Lost) > 0:
		return "NOT in force: " + strings.Join(g.Lost, "; ")
	case g.Last != nil:
		return fmt.Sprintf("in force; taken away %d times since %s, mail could leave directly for %s in all; last at %s: %s", g.Episodes,
			g.Since.UTC().Format(time.RFC3339), g.Open.Round(time.Millisecond), g.Last.At.UTC().Format(time.RFC3339), strings.Join(g.Last.Lost, "; "))
	default:
		return "in force"
	}
}
