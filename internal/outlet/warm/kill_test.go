package warm

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A diskOfTest keeps what was saved, unless it is full.
type diskOfTest struct {
	mu   sync.Mutex
	full bool
	all  map[string]State
}

func (d *diskOfTest) Load() (all []State, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.all {
		all = append(all, s.clone())
	}
	return all, nil
}

func (d *diskOfTest) Save(changed []State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errors.New("no space left on device")
	}
	if d.all == nil {
		d.all = map[string]State{}
	}
	for _, s := range changed {
		d.all[s.IP.String()] = s.clone()
	}
	return nil
}

// killed gives what a process that is killed now leaves on the disk.
func (d *diskOfTest) killed() *diskOfTest {
	all, _ := d.Load()
	left := &diskOfTest{}
	_ = left.Save(all)
	return left
}

// A life is one process, until it is killed or ends.
type life struct {
	*Book
	t *testing.T
}

// begin begins one, whose IP has this first day.
func begin(t *testing.T, disk *diskOfTest, start Day) life {
	b, err := New(Options{Store: disk})
	if err != nil {
		t.Fatal(err)
	}
	b.Configure([]Member{{IP: ip, Start: start, Plan: plan()}})
	return life{b, t}
}

func (l life) mails(n int) {
	for range n {
		ticket, _, ok := l.Take(ip, "google", true)
		if !ok {
			l.t.Fatal("no room")
		}
		ticket.Accepted()
	}
}

// bury ends the goroutines of a process that was killed.
func (l life) bury(disk *diskOfTest) {
	disk.mu.Lock()
	disk.full = true
	disk.mu.Unlock()
	_ = l.Close()
}

func TestAKillCostsTheCountsOfAMomentAndNoStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &diskOfTest{}
		start := DayOf(time.Now())
		first := begin(t, disk, start)
		first.mails(22)
		time.Sleep(SaveEvery)
		synctest.Wait()
		first.mails(3)
		left := disk.killed()
		first.bury(disk)

		second := begin(t, left, start)
		if e, _ := second.Get(ip); e.Step != 1 || e.Classes["google"].Taken != 22 || e.Classes["google"].Accepted != 22 {
			t.Errorf("killed between two saves: %+v", e.State)
		}
		time.Sleep(time.Until(start.Time().AddDate(0, 0, 1)) + SaveEvery/2) // between two saves
		second.mails(1)                                                     // turns the day
		leftAtMidnight := left.killed()
		second.bury(left)

		third := begin(t, leftAtMidnight, start)
		if e, _ := third.Get(ip); e.Step != 2 {
			t.Errorf("killed at midnight, before the step was saved: %+v", e.State)
		}
		third.mails(25)
		if err := third.GoTo(ip, 3, "asked"); err != nil {
			t.Error(err)
		}
		leftAtOnce := leftAtMidnight.killed()
		third.bury(leftAtMidnight)
		if all, _ := leftAtOnce.Load(); !slices.ContainsFunc(all, func(s State) bool { return s.Step == 3 && s.Classes["google"].Taken == 25 }) {
			t.Errorf("killed right behind an order: %+v", all)
		}
	})
}

func TestWhatCouldNotBeSavedIsSavedLaterAndAnOrderSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &diskOfTest{full: true}
		l := begin(t, disk, DayOf(time.Now()))
		l.mails(5)
		if err := l.GoTo(ip, 2, "asked"); !errors.Is(err, ErrNotKept) {
			t.Errorf("an order on a full disk: %v", err)
		}
		if e, _ := l.Get(ip); e.Step != 2 {
			t.Errorf("it does not hold: %+v", e.State)
		}
		time.Sleep(10 * time.Minute)
		disk.mu.Lock()
		disk.full = false
		disk.mu.Unlock()
		time.Sleep(saveRetryLongest)
		synctest.Wait()
		if all, _ := disk.Load(); len(all) != 1 || all[0].Step != 2 || all[0].Classes["google"].Taken != 5 {
			t.Errorf("saved %+v", all)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
