package intercept

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultKept is where a Keeper writes, unless it is told otherwise.
const DefaultKept = "/var/lib/kanmon-rules"

// keptVariable names another folder, in the environment of all of them.
const keptVariable = "KANMON_RULES_STATE"

// Here gives the keeper of this host's rules, and where their guard tells how it is.
func Here() (*Keeper, *Report) {
	if dir := os.Getenv(keptVariable); dir != "" {
		return &Keeper{Dir: dir}, &Report{Dir: filepath.Join(dir, "run")}
	}
	return &Keeper{}, &Report{}
}

// A Keeper puts rules in force and remembers which, beyond the process and beyond a boot: what was in force last can be put in force
// again without a configuration, and what a person has removed is not put back. Several processes may use the same folder. What is in
// it is loaded into the kernel: nobody but root may write there. Everybody may read it.
type Keeper struct {
	Dir string // "": DefaultKept

	writeFile func(path string, data []byte) error // nil: replaceFile
}

// Kept is what is remembered.
type Kept struct {
	Rules   Rules     `json:"rules"`
	Applied time.Time `json:"applied"`
	Managed bool      `json:"managed,omitempty"` // by kanmon itself (manage_rules), not by the rules unit
	Imprint string    `json:"imprint"`           // of the table, as the kernel had it then
	Removed *Removal  `json:"removed,omitempty"` // nil: in force
}

// A Removal is a person's word that mail leaves directly. It holds until somebody applies rules.
type Removal struct {
	At time.Time `json:"at"`
	// UntilStart: it was said by stopping the service, and holds until that starts.
	UntilStart bool `json:"until_start,omitempty"`
}

var (
	// ErrNothingKept is seen where no rules have been in force yet, as far as is known.
	ErrNothingKept = errors.New("no rules are kept: none were in force before")
	// ErrNotKept is seen where the rules in force are right, and could not be written down.
	ErrNotKept = errors.New("not kept")
)

// Apply puts rules in force and keeps them. They are in force if the error is nil or ErrNotKept.
func (k *Keeper) Apply(ctx context.Context, r Rules, managed bool) error {
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return k.put(ctx, Kept{Rules: r, Managed: managed})
}

// put is Apply for whoever has the lock. What is wanted is written down before it is loaded, and its imprint behind: whatever fails, a
// guard does not undo it.
func (k *Keeper) put(ctx context.Context, kept Kept) error {
	before, _ := k.read()
	known := before.Removed == nil && before.Managed == kept.Managed && same(before.Rules, kept.Rules)
	undo := func() error { return nil }
	kept.Applied, kept.Removed, kept.Imprint = time.Now(), nil, ""
	var notKept error
	if !known {
		undo, notKept = k.intend(kept)
	}
	if err := kept.Rules.Apply(ctx); err != nil {
		return errors.Join(err, undo())
	}
	if notKept != nil { // a full disk lets a file be deleted
		return fmt.Errorf("the rules are in force, but %w: after the next boot nobody knows of them: %w", ErrNotKept, errors.Join(notKept, k.forget()))
	}
	var err error
	if kept.Imprint, err = imprint(ctx, kept.Rules.table()); err == nil && (!known || kept.Imprint != before.Imprint) {
		err = k.write(kept)
	}
	if err != nil {
		return fmt.Errorf("the rules are in force, but how the kernel has them is %w: a guard puts them in force anew: %w", ErrNotKept, err)
	}
	return nil
}

// intend writes down what is about to be loaded. What it gives takes that back.
func (k *Keeper) intend(kept Kept) (undo func() error, err error) {
	before, err := os.ReadFile(k.file())
	none := errors.Is(err, fs.ErrNotExist)
	if err == nil || none {
		err = k.write(kept)
	}
	return func() error {
		switch {
		case err != nil:
			return nil
		case none:
			return k.forget()
		}
		return k.replace(before)
	}, err
}

// forget deletes what is kept: a guard puts back nothing then.
func (k *Keeper) forget() error {
	err := ignore(os.Remove(k.file()), fs.ErrNotExist)
	if err != nil {
		return fmt.Errorf("a guard puts back those of before: %w", err)
	}
	return nil
}

// ApplyLast puts the rules in force that were last.
func (k *Keeper) ApplyLast(ctx context.Context) (Kept, error) {
	unlock, err := k.lock(ctx)
	if err != nil {
		return Kept{}, err
	}
	defer unlock()
	kept, err := k.read()
	if err == nil && kept.none() {
		err = ErrNothingKept
	}
	if err != nil {
		return Kept{}, err
	}
	return kept, k.put(ctx, kept)
}

// Remove takes all rules away and remembers that a person wanted it. It is done if the error is nil or ErrNotKept.
func (k *Keeper) Remove(ctx context.Context, untilStart bool) error {
	unlock, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// First what keeps the guard from putting them back. What cannot be read cannot be put back either.
	notKept := k.markRemoved(untilStart)
	kept, _ := k.read()
	if err := kept.Rules.Remove(ctx); err != nil {
		return err
	}
	if notKept != nil {
		return fmt.Errorf("the rules are removed, but %w: %w", ErrNotKept, notKept)
	}
	return nil
}

// markRemoved keeps a person's word, with the rules that there may be, and not in place of one that holds for longer.
func (k *Keeper) markRemoved(untilStart bool) error {
	kept, err := k.read()
	lasting := kept.Removed != nil && !kept.Removed.UntilStart
	if untilStart && (errors.Is(err, ErrNothingKept) || lasting) {
		return nil
	}
	kept.Removed = &Removal{At: time.Now(), UntilStart: untilStart}
	if err := k.write(kept); err != nil { // a full disk lets a file be deleted
		return errors.Join(err, k.forget())
	}
	return nil
}

// Are reports whether what is kept are these rules.
func (k Kept) Are(r Rules) bool { return same(k.Rules, r) }

// none reports whether all that is remembered is that a person has removed the rules.
func (k Kept) none() bool { return k.Removed != nil && same(k.Rules, Rules{}) }

// Opened gives a person's removal that a service which starts must respect, or nil.
func (k *Keeper) Opened() (*Removal, error) {
	kept, err := k.read()
	if err != nil || kept.Removed == nil || kept.Removed.UntilStart {
		return nil, ignore(err, ErrNothingKept)
	}
	return kept.Removed, nil
}

// Last gives what is kept, or ErrNothingKept.
func (k *Keeper) Last() (Kept, error) { return k.read() }

func (k *Keeper) read() (Kept, error) {
	var kept Kept
	data, err := os.ReadFile(k.file())
	if errors.Is(err, fs.ErrNotExist) {
		return kept, ErrNothingKept
	}
	if err != nil {
		return kept, fmt.Errorf("read the rules kept: %w", err)
	}
	if err := json.Unmarshal(data, &kept); err != nil {
		return Kept{}, fmt.Errorf("read the rules kept: %s: %w", k.file(), err)
	}
	if kept.none() {
		return kept, nil
	}
	if err := kept.Rules.Validate(); err != nil {
		return Kept{}, fmt.Errorf("the rules kept: %s: %w", k.file(), err)
	}
	return kept, nil
}

// write replaces the file as a whole: a host that loses its power has the old one or the new.
func (k *Keeper) write(kept Kept) error {
	data, err := json.MarshalIndent(kept, "", "\t")
	if err != nil {
		return err
	}
	return k.replace(append(data, '\n'))
}

func (k *Keeper) replace(data []byte) error {
	write := k.writeFile
	if write == nil {
		write = replaceFile
	}
	return write(k.file(), data)
}

func replaceFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // once renamed there is none
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// lockPause is how often a lock that another has is asked for.
const lockPause = 20 * time.Millisecond

// lock keeps other processes from changing the rules. Where there can be no file, nobody keeps anything, and there is nothing to
// protect but a person's word.
func (k *Keeper) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(k.dir(), 0o755); err != nil {
		return func() {}, nil
	}
	f, err := os.OpenFile(filepath.Join(k.dir(), "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return func() {}, nil
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // and with it the lock is released
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another process is changing the rules (%s): %w", f.Name(), ctx.Err()), f.Close())
		case <-time.After(lockPause):
		}
	}
}

func (k *Keeper) dir() string  { return cmp.Or(k.Dir, DefaultKept) }
func (k *Keeper) file() string { return filepath.Join(k.dir(), "rules.json") }

func ignore(err, none error) error {
	if errors.Is(err, none) {
		return nil
	}
	return err
}
