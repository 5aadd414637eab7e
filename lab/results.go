package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/test/netlab"
)

// A results is what a run has found out. What did not run, or failed, is nil.
type results struct {
	plan    plan
	Began   time.Time
	Load    string // load average then, of a minute
	Postfix postfixDefaults
	Fig4    []*fig4Run
	Mass    []*massRun
	Scale   *scaleRun
	Memory  []memoryRun
	Listing []*listingRun
	Notes   []note

	// They have pages of their own.
	Restricted  []*restrictedRun
	Compromised []*compromisedRun
	Content     []*contentRun // of the same page
}

// PostfixDefaults are Postfix's own answers.
type postfixDefaults struct {
	Version, Processes, Initial, Sessions, Active string
	QueueRuns, FirstPause, LongestPause, GivenUp  string // of a deferred mail
	SkipRefused                                   string
}

// askPostfix asks for the defaults that decide whether a queue congests, and what becomes of a mail that is refused.
func askPostfix() (d postfixDefaults, err error) {
	tools, err := netlab.FindTools("lab")
	if err != nil {
		return d, err
	}
	show := exec.Command(tools.Path("postconf"), "-dh", "mail_version", "default_process_limit", "initial_destination_concurrency",
		"default_destination_concurrency_limit", "qmgr_message_active_limit",
		"queue_run_delay", "minimal_backoff_time", "maximal_backoff_time", "maximal_queue_lifetime", "smtp_skip_5xx_greeting")
	show.Env = tools.Env()
	answer, err := show.Output()
	if err != nil {
		return d, fmt.Errorf("ask Postfix for its defaults: %w", err)
	}
	v := strings.Fields(string(answer))
	if len(v) != 10 {
		return d, fmt.Errorf("ask Postfix for its defaults: it says %q", answer)
	}
	return postfixDefaults{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9]}, nil
}

// A note is how long an experiment took, and how busy the machine was.
type note struct {
	Part string
	Took time.Duration
	Busy float64 // per cent of all cores
}

func (r *results) note(part string, took, busy time.Duration) {
	percent := 100 * busy.Seconds() / took.Seconds() / float64(runtime.NumCPU())
	r.Notes = append(r.Notes, note{Part: part, Took: took, Busy: percent})
}

// NoteOf gives the note of an experiment; nil if it has none.
func (r *results) NoteOf(part string) *note {
	if i := slices.IndexFunc(r.Notes, func(n note) bool { return n.Part == part }); i >= 0 {
		return &r.Notes[i]
	}
	return nil
}

func (r *results) empty() bool {
	return !r.ofPaper() && r.Restricted == nil && r.Compromised == nil && r.Content == nil
}

// ofPaper says whether any of the experiments ran that share a page.
func (r *results) ofPaper() bool {
	return r.Fig4 != nil || r.Mass != nil || r.Scale != nil || r.Memory != nil || r.Listing != nil
}

// publish puts tables, figures and the page of what ran into the folder. They are made aside and moved when all are there, so that the
// old ones stay if anything fails.
func (r *results) publish(folder string) (err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(folder, ".new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()
	if err := errors.Join(r.writeTables(aside), r.drawAll(aside), r.writePages(aside)); err != nil {
		return err
	}
	files, err := os.ReadDir(aside)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.Rename(filepath.Join(aside, file.Name()), filepath.Join(folder, file.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Machine says what the run was made on.
func (r *results) Machine() string {
	var system unix.Utsname
	_ = unix.Uname(&system)
	return strings.Join([]string{
		"Linux " + unix.ByteSliceToString(system.Release[:]), runtime.GOARCH, plural(runtime.NumCPU(), "core"), runtime.Version(),
		"Postfix " + r.Postfix.Version,
	}, ", ")
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
