package daemon

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A stop ends, whatever of it hangs, and what can still be done is: each in its order, and what hangs is named.
func TestAStopEndsWhateverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done []string
		ends := make(chan struct{})
		d := New(nil, nil)
		quick := func(name string) {
			d.onStop(name, func(context.Context) error { done = append(done, name); return nil })
		}
		hangs := func(name string) {
			d.onStop(name, func(context.Context) error { <-ends; return nil })
		}
		quick("first")
		hangs("senders")
		quick("second")
		hangs("standing")
		quick("third")
		begun := time.Now()
		err := d.undo(t.Context())
		if took := time.Since(begun); took > 2*flushTimeout+2*cleanupMoment {
			t.Errorf("stopped after %s", took)
		}
		if !slices.Equal(done, []string{"third", "second", "first"}) {
			t.Errorf("done: %q", done)
		}
		if err == nil || !strings.Contains(err.Error(), "end senders: given up") || !strings.Contains(err.Error(), "end standing: given up") {
			t.Errorf("error: %v", err)
		}
		close(ends)
	})
}
