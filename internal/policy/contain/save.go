package contain

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
)

// SnapshotVersion is the version of the snapshots that this package writes and reads.
const SnapshotVersion = 1

// ErrVersion is returned for a snapshot of another version.
var ErrVersion = errors.New("a snapshot of another version")

// A Snapshot is what survives a restart: levels, what is by hand, history, what was counted lately.
// Times that last are kept as what is left of them, so that a clock that is wrong after a restart ends nothing. Its subjects may be older
// than it is: each has the Age that it is of.
type Snapshot struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	Age     int64     `json:"age,omitempty"`   // seconds that have passed in all the processes that have kept it
	Jumps   uint32    `json:"jumps,omitempty"` // of the clock, likewise
	// Skipped are seconds that have passed for what was counted beside the age, and Secret is what its hashes are made with.
	Skipped  int64   `json:"skipped,omitempty"`
	Secret   []byte  `json:"secret,omitempty"`
	Subjects []Saved `json:"subjects,omitempty"`
}

// Saved is a subject of a [Snapshot]. Times are in seconds, and as of its Age.
type Saved struct {
	Subject
	Age      int64      `json:"age,omitempty"`
	Level    Level      `json:"level"`
	Signal   Signal     `json:"signal,omitempty"`
	Outcomes bool       `json:"outcomes,omitempty"` // contained for outcomes, not only for volume
	Since    int64      `json:"since,omitempty"`    // since the level was set
	Quiet    int64      `json:"quiet,omitempty"`    // since something bad
	Strikes  int        `json:"strikes,omitempty"`
	Fell     bool       `json:"fell,omitempty"`     // the last change was a step down
	Pardoned bool       `json:"pardoned,omitempty"` // it counts for nothing of its tenant's
	Last     *Decision  `json:"last,omitempty"`
	Block    *SavedHand `json:"block,omitempty"`
	Exempt   *SavedHand `json:"exempt,omitempty"`
	Allow    *SavedHand `json:"allow,omitempty"`

	Known   int64      `json:"known"`             // since it was first heard of
	History []byte     `json:"history,omitempty"` // volume of each hour of the last five weeks; see history
	Hour    int64      `json:"hour,omitempty"`    // that is not over yet, of the wall clock
	Jumps   uint32     `json:"jumps,omitempty"`   // of the clock, until then
	Volume  uint8      `json:"volume,omitempty"`  // in that hour, as in History; 0 where it is not to be learnt
	Usual   [2]Learned `json:"usual"`             // unknown recipients, content
	Today   [2]Learned `json:"today,omitzero"`    // of a day that is not over yet
	Day     int64      `json:"day,omitempty"`     // since it began
	Counts  []byte     `json:"counts,omitempty"`  // of the last hour and day; see counts.go
	Habits  []byte     `json:"habits,omitempty"`  // what others keep of it in the same row; see Options.Habits
}

// SavedHand is what an operator said.
type SavedHand struct {
	ByHand
	Left int64 `json:"left,omitempty"` // 0: until an operator ends it
}

// Learned is a usual share.
type Learned struct {
	Bad   float32 `json:"bad"`
	Cases float32 `json:"cases"`
}

// stands reports whether something has been decided of a subject that lasts.
func (e *entry) stands() bool {
	return e.level > Normal || e.strikes > 0 || e.block != nil || e.exempt != nil || e.allow != nil
}

func (d *Detector) saved(e *entry) Saved {
	out := Saved{
		Subject: e.Subject, Age: seconds(d.time.age), Level: e.level, Signal: e.signal, Outcomes: e.outcomes, Strikes: int(e.strikes), Fell: e.fell, Pardoned: e.pardoned,
		Block: e.block.saved(&d.time), Exempt: e.exempt.saved(&d.time), Allow: e.allow.saved(&d.time), Known: seconds(d.time.age - e.born),
	}
	if e.stands() {
		out.Since, out.Quiet, out.Last = seconds(d.time.age-e.since), seconds(d.time.age-e.lastBad), e.last.saved()
	}
	if e.history != nil {
		out.History = slices.Clone(e.history[:])
	}
	if out.Volume = d.volumeNow(e); out.History != nil || out.Volume > 0 {
		out.Hour, out.Jumps = e.wallHour, e.jumps
	}
	for i := range e.usual {
		out.Usual[i] = Learned{e.usual[i].bad, e.usual[i].cases}
		out.Today[i] = Learned{e.usual[i].badToday, e.usual[i].casesToday}
	}
	if out.Today != [2]Learned{} {
		out.Day = seconds(d.time.age - e.usualSince)
	}
	out.Counts = d.savedCounts(e)
	if d.habits != nil {
		out.Habits = d.habits(e.Subject)
	}
	return out
}

// saved returns a copy in which an account's name does not stand with each of its replies.
func (n *Decision) saved() *Decision {
	if n == nil {
		return nil
	}
	out := *n
	out.Samples = slices.Clone(n.Samples)
	for i := range out.Samples {
		if out.Samples[i].Account == n.Subject.Account {
			out.Samples[i].Account = ""
		}
	}
	return &out
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (h *hand) saved(t *timeline) *SavedHand {
	if h == nil {
		return nil
	}
	out := &SavedHand{ByHand: *h.shown(t)}
	if h.ends > 0 {
		out.Left = max(seconds(h.ends-t.age), 1)
	}
	return out
}

// Restore takes over a snapshot, before the first event. If something in it cannot be, it takes over nothing. What there
// is no room for is left out, and said; what is by hand comes first, then what is contained.
func (d *Detector) Restore(s Snapshot) error {
	if s.Version != SnapshotVersion {
		return fmt.Errorf("%w: %d, this is %d", ErrVersion, s.Version, SnapshotVersion)
	}
	for i := range s.Subjects {
		if err := s.Subjects[i].validate(); err != nil {
			return fmt.Errorf("snapshot, subject %d (%s): %w", i, plain(s.Subjects[i].String()), err)
		}
	}
	for _, n := range []int64{s.Age, s.Skipped} {
		if n < 0 || n > maxSeconds {
			return fmt.Errorf("snapshot: an age of %d seconds, and %d beside it", s.Age, s.Skipped)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	away := d.time.now.Sub(s.At)
	jumped := away < -jump || away > historyHours*time.Hour
	if jumped {
		away = (daySpan + 1) * time.Hour // nobody knows
	}
	skipped := time.Duration(s.Skipped+2)*time.Second + max(0, away) // both were cut to whole seconds
	if d.time.resume(time.Duration(s.Age)*time.Second, skipped, s.Jumps); jumped {
		d.time.doubt = d.time.age + doubtTime
		d.time.jumps++
	}
	if secret := (witness.Secret{}); copy(secret[:], s.Secret) == len(secret) && secret != d.secret {
		d.keyed(secret)
	}
	left := 0
	for rank := range 3 {
		for i := range s.Subjects {
			if v := &s.Subjects[i]; v.rank() == rank && !d.restore(v, &s) {
				left++
				d.lose(v.Subject)
			}
		}
	}
	if left > 0 {
		return fmt.Errorf("%d of %d subjects were left out: %w", left, len(s.Subjects), ErrFull)
	}
	return nil
}

// rank is the order in which subjects are taken over: people's, then what is contained, then the others.
func (v *Saved) rank() int {
	switch {
	case v.ordered():
		return 0
	case v.Level > Normal || v.Block != nil:
		return 1
	}
	return 2
}

// ordered reports whether a person has spoken of it.
func (v *Saved) ordered() bool {
	return v.Exempt != nil || v.Allow != nil || v.Block != nil && !v.Block.byRule()
}

func (v *Saved) validate() error {
	ok := v.Tenant != "" && v.Level < levels && v.Strikes >= 0 && v.Strikes <= 30
	for _, n := range []int64{v.Since, v.Quiet, v.Known, v.Age, v.Day} {
		ok = ok && n >= 0 && n <= maxSeconds
	}
	for _, h := range []*SavedHand{v.Block, v.Exempt, v.Allow} {
		ok = ok && (h == nil || h.Left >= 0 && h.Left <= maxSeconds)
	}
	for _, u := range append(v.Usual[:], v.Today[:]...) {
		bad, cases := float64(u.Bad), float64(u.Cases)
		ok = ok && bad >= 0 && bad <= cases && cases <= math.MaxInt32
	}
	if !ok {
		return errors.New("a value that cannot be")
	}
	if len(v.History) != 0 && len(v.History) != historyHours {
		return fmt.Errorf("a history of %d hours, want %d", len(v.History), historyHours)
	}
	return nil
}

const maxSeconds = 100 * 366 * 24 * 3600

func (d *Detector) restore(v *Saved, of *Snapshot) bool {
	e := d.entryFor(v.Subject, v.ordered())
	if e == nil {
		return false
	}
	e.stored = true
	age := d.time.age - time.Duration(max(0, of.Age-v.Age))*time.Second // that the row is of
	ago := func(s int64) time.Duration { return age - time.Duration(s)*time.Second }
	e.level, e.signal, e.outcomes = v.Level, Signal(event.Printable(string(v.Signal), 32)), v.Level > Slow || v.Outcomes && v.Level == Slow
	e.strikes, e.fell, e.pardoned = uint8(v.Strikes), v.Fell, v.Pardoned
	e.since, e.lastBad = ago(v.Since), ago(v.Quiet)
	e.block, e.exempt, e.allow = v.Block.restored(age), v.Exempt.restored(age), v.Allow.restored(age)
	e.born = ago(v.Known)
	e.seasoned = d.time.age-e.born >= seasonedAfter
	e.last = v.Last.bounded()
	e.spoiled = e.outcomes
	d.restoreHistory(e, v, of)
	for i, u := range v.Usual {
		e.usual[i] = usual{bad: u.Bad, cases: u.Cases, badToday: v.Today[i].Bad, casesToday: v.Today[i].Cases}
	}
	e.usualSince = ago(v.Day)
	d.restoreCounts(e, v.Counts)
	d.allow(e)
	e.recount()
	d.place(e)
	if !d.worth(e) {
		d.mark(e) // its row is to go
	}
	return true
}

// restoreHistory takes over what was sent at which hour. Between the row and the snapshot nothing was, else there were a newer row.
func (d *Detector) restoreHistory(e *entry, v *Saved, of *Snapshot) {
	if len(v.History) > 0 {
		e.history = (*history)(slices.Clone(v.History))
	}
	if v.Hour == 0 { // of a kanmon that did not say
		return
	}
	if v.Hour == d.time.hour && v.Jumps == of.Jumps {
		e.carried = v.Volume
		return
	}
	if e.history == nil && v.Volume > 0 {
		e.history = &history{}
	}
	if e.history == nil {
		return
	}
	if !e.spoiled {
		e.history[slotOf(v.Hour)] = v.Volume
	}
	if last := floorDiv(of.At.Unix(), 3600); v.Jumps == of.Jumps {
		for h := max(v.Hour+1, last-historyHours+1); h <= last; h++ {
			e.history[slotOf(h)] = 0
		}
	}
}

func (h *SavedHand) restored(age time.Duration) *hand {
	if h == nil {
		return nil
	}
	out := &hand{ByHand: ByHand{At: h.At, By: event.Printable(h.By, 64), Why: event.Printable(h.Why, maxName), Rule: h.byRule()}}
	if h.Left > 0 {
		out.ends = max(age+time.Duration(h.Left)*time.Second, 1) // 0 is no end
	}
	return out
}

// bounded returns a copy no larger than a decision of our own.
func (n *Decision) bounded() *Decision {
	if n == nil {
		return nil
	}
	out := *n
	out.By, out.Why = event.Printable(n.By, 64), event.Printable(n.Why, 2*maxName)
	out.Samples = slices.Clone(n.Samples[:min(len(n.Samples), maxSample)])
	for i := range out.Samples {
		s := &out.Samples[i]
		s.Account, s.Provider = event.Printable(cmp.Or(s.Account, n.Subject.Account), maxName), event.Printable(s.Provider, 64)
		s.Class, s.Reply = event.Printable(s.Class, 32), event.Printable(s.Reply, maxReply)
	}
	return &out
}
