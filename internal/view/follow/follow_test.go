package follow

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What is written while somebody follows is kept, and what stood there before.
func TestLinesAreKeptAsTheyAreWritten(t *testing.T) {
	r := newRig(t)
	r.write(3)
	r.up()
	r.wants()
	for range 20 {
		r.write(7)
		r.wants()
	}
	r.down()
	r.write(5)
	r.up()
	r.wants()
}

// A file that is not there yet is waited for, and so is its folder.
func TestAFileThatComesLaterIsFollowed(t *testing.T) {
	r := newRig(t)
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	r.up()
	r.reopen()
	r.write(3)
	r.wants()
}

// Who comes when a file has been moved, and its writer has not begun the next one, reads to its end, and what is written to it behind that.
func TestAMovedFileIsWrittenToUntilTheNextHasSomething(t *testing.T) {
	r := newRig(t)
	r.write(9)
	r.move(".1")
	r.up()
	r.wants()
	r.write(3)
	r.reopen()
	r.write(3)
	r.wants()
	r.move(".2")
	r.reopen()
	r.write(1)
	r.wants()
}

// A line without an end is no line yet: its writer may write the rest, or take it back.
func TestHalfALineWaits(t *testing.T) {
	r := newRig(t)
	r.up()
	r.write(2)
	whole := r.next()
	r.raw(whole[:40])
	r.until(func() bool { n, _ := r.store.has(); return n == 2 })
	r.raw(whole[40:])
	r.wants()

	taken := r.next()
	r.raw(taken[:30])
	size, err := r.out.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(r.path, size.Size()-30); err != nil {
		t.Fatal(err)
	}
	r.raw(taken)
	r.wants()
	if r.store.bad != 0 {
		t.Errorf("%d lines are bad, of which none is", r.store.bad)
	}
}

// A rotation is no end, whichever way it is done, whoever runs meanwhile.
func TestRotationsLoseNothingAndDoubleNothing(t *testing.T) {
	type step func(*rig)
	for name, steps := range map[string][]step{
		"renamed, and written to for a moment": {
			func(r *rig) { r.move(".1") }, func(r *rig) { r.write(3) }, (*rig).reopen, func(r *rig) { r.write(3) },
		},
		"renamed by date": {func(r *rig) { r.move("-20261130") }, (*rig).reopen, func(r *rig) { r.write(300) }},
		"renamed, and compressed at once": {
			func(r *rig) { r.move("-20261130") }, (*rig).reopen, func(r *rig) { r.write(3) }, func(r *rig) { r.gzip("-20261130") },
		},
		"three times": {
			func(r *rig) { r.move("-1") }, (*rig).reopen, func(r *rig) { r.write(30) },
			func(r *rig) { r.gzip("-1"); r.move("-2") }, (*rig).reopen, func(r *rig) { r.write(40) },
			func(r *rig) { r.gzip("-2"); r.move("-3") }, (*rig).reopen, func(r *rig) { r.write(2) },
		},
		"numbered, the newest is always .1": {
			func(r *rig) { r.move(".1") }, (*rig).reopen, func(r *rig) { r.write(30) },
			func(r *rig) { _ = os.Rename(r.path+".1", r.path+".2"); r.move(".1") }, (*rig).reopen, func(r *rig) { r.write(4) },
		},
		"copied and emptied": {
			func(r *rig) { r.copytruncate(".1") }, func(r *rig) { r.write(2) },
			func(r *rig) { _ = os.Rename(r.path+".1", r.path+".2"); r.copytruncate(".1") }, func(r *rig) { r.write(30) },
		},
		"copied, emptied, and longer than before": {
			func(r *rig) { r.copytruncate("-20261130") }, func(r *rig) { r.write(100) },
		},
		"copied, emptied and compressed": {
			func(r *rig) { r.copytruncate("-1") }, func(r *rig) { r.gzip("-1") }, func(r *rig) { r.write(10) },
		},
	} {
		t.Run(name+", while it is followed", func(t *testing.T) {
			r := newRig(t)
			r.up()
			r.write(9)
			for _, do := range steps {
				r.wants()
				do(r)
			}
			r.wants()
		})
		t.Run(name+", faster than it is read", func(t *testing.T) {
			r := newRig(t)
			r.write(9)
			r.up()
			for _, do := range steps {
				do(r)
			}
			r.all() // some may be read twice: what is moved while it is looked for is found a moment later
		})
		t.Run(name+", while nobody follows", func(t *testing.T) {
			r := newRig(t)
			r.up()
			r.write(9)
			r.wants()
			r.down()
			r.write(5)
			for _, do := range steps {
				do(r)
			}
			r.up()
			r.wants()
		})
	}
}

// Files that a rotation has left before anybody followed are taken in, the oldest first.
func TestTheFirstTimeWhatIsThereIsTakenIn(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"-20261127", "-20261128", "-20261129"} {
		r.write(50)
		r.move(name)
		r.reopen()
	}
	r.gzip("-20261127")
	r.write(5)
	r.up()
	r.wants()
}

// What is no record is counted and told, a few times, and passed over.
func TestWhatIsNoRecordIsPassedOver(t *testing.T) {
	r := newRig(t)
	r.up()
	for range 100 {
		r.raw("this is no record\x1b[31m\n")
		r.write(1)
	}
	r.raw(`{"type":"transaction","at":12}` + "\n" + strings.Repeat("x", mostLine+5) + "\n")
	r.write(1)
	r.wants()
	r.until(func() bool { return r.f.counts.bad.Load() == 102 })
	if told := strings.Count(r.log.String(), "no record"); told != 2*mostSaid {
		t.Errorf("told %d times, want %d lines\n%s", told/2, mostSaid, r.log)
	}
	if strings.ContainsRune(r.log.String(), 0x1b) {
		t.Error("the log has what a terminal obeys")
	}
}

// A gateway whose clock is years ahead does not make a day of then the newest; one that is some hours ahead is heard.
func TestWhatIsStillToComeIsPassedOver(t *testing.T) {
	r := newRig(t)
	r.up()
	for _, after := range []time.Duration{time.Hour, 48 * time.Hour, 10 * 365 * 24 * time.Hour} {
		line := r.next()
		var at string
		if _, err := fmt.Sscanf(line, `{"type":"heartbeat","at":%q`, &at); err != nil {
			t.Fatal(err)
		}
		r.raw(strings.Replace(line, at, time.Now().UTC().Add(after).Format(time.RFC3339), 1))
	}
	r.write(1)
	r.until(func() bool { n, _ := r.store.has(); return n == 2 })
	if n := r.f.counts.bad.Load(); n != 2 || strings.Count(r.log.String(), "a record of a time to come") != 2 {
		t.Errorf("%d lines\n%s", n, r.log)
	}
}

// Only the gateways that are named are kept.
func TestOtherGatewaysAreLeftOut(t *testing.T) {
	r := newRig(t)
	r.up("gw1")
	r.raw(strings.Replace(r.next(), `"gw1"`, `"gw2"`, 1))
	r.write(2)
	r.until(func() bool { n, _ := r.store.has(); return n == 2 })
	if n := r.f.counts.foreign.Load(); n != 1 || !strings.Contains(r.log.String(), "gw2") {
		t.Errorf("%d lines of another gateway\n%s", n, r.log)
	}
}

// A history that keeps nothing for a while is told of once, and nothing is lost by it.
func TestAHistoryThatFailsIsWaitedFor(t *testing.T) {
	r := newRig(t)
	r.store.fail(errors.New("no space left on device"))
	r.up()
	r.write(10)
	r.until(func() bool { return strings.Contains(r.log.String(), "no space left") })
	r.store.fail(nil)
	r.until(func() bool { n, _ := r.store.has(); return n == 10 })
	r.store.fail(errors.New("no space left on device"))
	r.write(10)
	r.until(func() bool { return strings.Contains(r.log.String(), "history keeps nothing") })
	r.move(".1")
	r.write(1)
	r.reopen()
	r.write(3000)
	r.store.fail(nil)
	r.wants()
	if n := strings.Count(r.log.String(), "level=ERROR"); n != 2 {
		t.Errorf("told %d times, want once for each time\n%s", n, r.log)
	}
}
