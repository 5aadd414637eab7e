package follow

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A waker tells that something may have been written. It looks at the folder: so it sees a file that is moved, and one that comes.
type waker struct {
	f       *Follower
	watcher *fsnotify.Watcher // nil: nobody tells, and time alone passes
	watches bool              // the folder
	last    time.Time         // when the last wait was over
}

func (f *Follower) watch() *waker {
	w := &waker{f: f}
	var err error
	if w.watcher, err = fsnotify.NewBufferedWatcher(1); err != nil { // inotify's instances are bounded, for all of a user's processes
		f.teller.log.Warn("the kernel does not tell when records are written: they are looked for now and then", "every", f.lookAgain, "error", err)
	}
	return w
}

func (w *waker) close() {
	if w.watcher != nil {
		_ = w.watcher.Close()
	}
}

// wait returns when something may have been written, and not sooner after the last time than lines are gathered. It may return for nothing.
func (w *waker) wait(ctx context.Context) {
	sleep(ctx, w.f.gather-time.Since(w.last))
	again := time.NewTimer(w.f.lookAgain)
	defer again.Stop()
	defer func() { w.last = time.Now() }()
	if w.watcher == nil {
		select {
		case <-ctx.Done():
		case <-again.C:
		}
		return
	}
	if !w.watches {
		w.watches = w.watcher.Add(filepath.Dir(w.f.Path)) == nil
		if w.watches {
			return // what was written before is not told
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			return
		case err := <-w.watcher.Errors: // more than it could tell, mostly
			w.f.teller.log.Debug("the folder of the records is looked at", "because", err)
			return
		case e := <-w.watcher.Events:
			if e.Name == filepath.Dir(w.f.Path) && e.Has(fsnotify.Remove|fsnotify.Rename) {
				w.watches = false
			}
			if e.Name == w.f.Path || e.Has(fsnotify.Create) {
				return
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
