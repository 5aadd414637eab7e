package intercept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// DefaultKept is where a Keeper writes, unless it is told otherwise.
const DefaultKept = "/var/lib/kanmon-rules"

// keptVariable names another folder, in the environment of all of them.
const keptVariable = "KANMON_RULES_STATE"

// Here returns the keeper of this host's rules, and where their guard tells how it is.
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
	Dir   string // "": DefaultKept
	Aside string // where it writes until the next boot if it cannot write in Dir; "": DefaultReport, or "run" in Dir

	writeFile func(path string, data []byte) error // nil: replaceFile
}

// Kept is what is remembered.
type Kept struct {
	Version int       `json:"version"`
	Rules   Rules     `json:"rules"`
	Applied time.Time `json:"applied"`
	Managed bool      `json:"managed,omitempty"` // by kanmon itself (manage_rules), not by the rules unit
	Imprint string    `json:"imprint"`           // of the table, as the kernel had it then
	Removed *Removal  `json:"removed,omitempty"` // nil: in force

	found string // nothing was remembered: the table, as nft lists it
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
	// ErrDamaged is seen where what is remembered cannot be used.
	ErrDamaged = errors.New("what is remembered of the firewall rules is damaged")
	// ErrNotKept is seen where the rules in force are right, and could not be written down.
	ErrNotKept = errors.New("not kept")
	// ErrKeptAside is the ErrNotKept of what holds until the next boot.
	ErrKeptAside = fmt.Errorf("%w on the disk, but in memory until the next boot", ErrNotKept)
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

// put is Apply for whoever has the lock. What is wanted is written down before it is loaded, and its imprint behind:
// whatever fails, a guard does not undo it. What can be written down nowhere is not loaded where other rules are kept,
// or a person's removal: there would be two truths, and a guard or a boot would go by the other one.
func (k *Keeper) put(ctx context.Context, kept Kept) error {
	if kept.found != "" {
		return kept.putFound(ctx)
	}
	before, err := k.read()
	none := errors.Is(err, ErrNothingKept)
	known := err == nil && before.Removed == nil && before.Managed == kept.Managed && same(before.Rules, kept.Rules)
	undo := func() error { return nil }
	kept.Applied, kept.Removed, kept.Imprint = time.Now(), nil, ""
	var notKept error
	if !known {
		undo, notKept = k.intend(kept)
	}
	if notKept != nil && !none && !errors.Is(notKept, ErrKeptAside) {
		return fmt.Errorf("the firewall rules are as before: others cannot be written down, and a guard or a boot would undo them; make %s writable, then try again: %w", k.dir(), notKept)
	}
	if err := kept.Rules.replace(ctx, before.Rules); err != nil {
		return errors.Join(err, undo())
	}
	if notKept != nil && !errors.Is(notKept, ErrKeptAside) {
		return fmt.Errorf("the rules are in force, but %w: after the next boot nobody knows of them: %w", ErrNotKept, notKept)
	}
	if kept.Imprint, err = imprint(kept.Rules.table()); err == nil && (!known || kept.Imprint != before.Imprint) {
		err = k.write(kept)
	}
	switch {
	case errors.Is(err, ErrKeptAside) && known:
		return nil // what the disk has are the same rules
	case errors.Is(err, ErrKeptAside):
		return fmt.Errorf("the rules are in force and guarded, but %w", err)
	case err != nil:
		return fmt.Errorf("the rules are in force, but how the kernel has them is %w: a guard puts them in force anew: %w", ErrNotKept, err)
	}
	return nil
}

// intend writes down what is about to be loaded. What it gives takes that back.
func (k *Keeper) intend(kept Kept) (undo func() error, err error) {
	type file struct {
		path string
		data []byte // nil: there is none
	}
	var before []file
	for _, path := range []string{k.file(), k.asideFile()} {
		data, _ := os.ReadFile(path) // what cannot be read cannot be put back
		before = append(before, file{path, data})
	}
	err = k.write(kept)
	return func() error {
		var errs []error
		for _, f := range before {
			now, _ := os.ReadFile(f.path)
			switch {
			case f.data == nil:
				errs = append(errs, ignore(os.Remove(f.path), fs.ErrNotExist))
			case !bytes.Equal(f.data, now):
				errs = append(errs, k.replace(f.path, f.data))
			}
		}
		return errors.Join(errs...)
	}, err
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
	switch {
	case errors.Is(notKept, ErrKeptAside):
		return fmt.Errorf("the rules are removed, but that is %w", notKept)
	case notKept != nil:
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
	err = k.write(kept)
	if err != nil && !errors.Is(err, ErrKeptAside) {
		return errors.Join(err, k.forget()) // a full disk lets a file be deleted
	}
	return err
}

// Are reports whether what is kept are these rules.
func (k Kept) Are(r Rules) bool { return same(k.Rules, r) }

// none reports whether all that is remembered is that a person has removed the rules.
func (k Kept) none() bool { return k.Removed != nil && same(k.Rules, Rules{}) }

// Opened returns a person's removal that a service which starts must respect, or nil.
func (k *Keeper) Opened() (*Removal, error) {
	kept, err := k.read()
	if err != nil || kept.Removed == nil || kept.Removed.UntilStart {
		return nil, ignore(err, ErrNothingKept)
	}
	return kept.Removed, nil
}

// Last returns what is kept, or ErrNothingKept, or ErrDamaged.
func (k *Keeper) Last() (Kept, error) { return k.read() }

func ignore(err, none error) error {
	if errors.Is(err, none) {
		return nil
	}
	return err
}
