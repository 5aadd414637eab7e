package journal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// at is a sink with a path of its own.
func at(path string, f *pipeFile) unopened {
	out := to(jsonSheet, f)
	out.path = path
	return out
}

// of is a record of a tenant's.
func of(tenant string) *event.Record {
	r := transactionRecord("a@b.example", "c@d.example")
	r.Tenant = tenant
	return r
}

// gaps gives the lines of what is missing, and has looked at the numbers: but for what was lost before the first line they have no gap.
func gaps(t *testing.T, text string) (told []string) {
	t.Helper()
	last := uint64(0)
	for e, err := range event.NewReader(strings.NewReader(text)).All() {
		if err != nil {
			t.Fatal(err)
		}
		if e.Gateway != "gw" || last > 0 && e.Line != last+1 {
			t.Errorf("line %d of %q behind line %d", e.Line, e.Gateway, last)
		}
		last = e.Line
		if e.Type == "dropped" {
			told = append(told, fmt.Sprintf("%s %d", e.Tenant, e.Records))
		}
	}
	slices.Sort(told)
	return told
}

// What a sink has taken and could not write when a reload ended it is told where the stream goes on: at once, or when records are written again;
// also what it had lost before, and the lines that were to say so.
func TestWhatASinkHasLostAtAReloadIsToldWhereTheStreamGoesOn(t *testing.T) {
	for _, pause := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var files Files
			opened := func(before *Journal, sinks ...unopened) *Journal {
				return mustStart(t, Options{Gateway: "gw", Run: start, Files: &files, Behind: before, QueueBytes: 1 << 16}, sinks...)
			}
			stuck, next := newPipeFile(), newPipeFile()
			stuck.gate = make(chan struct{})
			first := opened(nil, at("stuck", stuck))
			const blues = 200 // more than there is room for
			for range 3 {
				first.Record(of("acme"))
			}
			time.Sleep(time.Second)
			for range blues {
				first.Record(of("blue"))
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			var second *Journal
			if pause {
				second = opened(first)
			} else {
				second = opened(first, at("next", next))
				second.Record(of("cyan"))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := first.Close(ctx); err == nil {
				t.Error("the first was closed with all written")
			}
			last := second
			if pause {
				last = opened(second, at("next", next))
				closeNow(t, second)
			}
			time.Sleep(time.Second)
			if got, want := gaps(t, next.String()), []string{"acme 3", fmt.Sprintf("blue %d", blues)}; !slices.Equal(got, want) {
				t.Errorf("a pause between: %t: told %q, want %q", pause, got, want)
			}
			if n := files.Dropped(); n != 3+blues {
				t.Errorf("%d dropped, want %d", n, 3+blues)
			}
			closeNow(t, last)
		})
	}
}

// A journal that is given up before its turn owes what it knows to be missing to the one behind it.
func TestWhatIsOwedIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var files Files
		opened := func(before *Journal, sinks ...unopened) *Journal {
			return mustStart(t, Options{Gateway: "gw", Run: start, Files: &files, Behind: before}, sinks...)
		}
		stuck, unused, next := newPipeFile(), newPipeFile(), newPipeFile()
		stuck.gate = make(chan struct{})
		first := opened(nil, at("stuck", stuck))
		first.Record(of("acme"))
		time.Sleep(time.Second)
		none := opened(first)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = first.Close(ctx)
		hanging := opened(none) // writes nothing, and the next waits for it
		given := opened(hanging, at("unused", unused))
		closeNow(t, given)
		closeNow(t, none)
		last := opened(hanging, at("next", next))
		closeNow(t, hanging)
		last.Record(of("cyan"))
		time.Sleep(time.Second)
		if got, want := gaps(t, unused.String()+next.String()), []string{"acme 1"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		closeNow(t, last)
	})
}
