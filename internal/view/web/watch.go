package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/admin"
)

// A snapshot is how kanmon is at a moment. All who look at what is live share one.
type snapshot struct {
	At        time.Time
	Top       admin.Top
	Standings []admin.Standing
	Err       error  // kanmon does not answer; the rest is empty
	mark      string // another one where anything has changed that a page shows
}

// A watch looks at kanmon once in a while, as long as anybody wants to see it.
type watch struct {
	server *Server

	mu      sync.Mutex
	last    *snapshot
	looking chan struct{}  // closed when the look that is under way has ended; nil: none is
	streams map[string]int // by the name of the person
}

// How many browsers are told of changes, or hear a session, at once; and how many of one person, so that nobody has all of them. Others ask again and
// again.
const (
	maxStreams   = 32
	maxStreamsOf = 8
)

// lookPatience is for kanmon to answer.
const lookPatience = 5 * time.Second

func newWatch(s *Server) *watch { return &watch{server: s, streams: map[string]int{}} }

// now gives a snapshot that is not older than the time between two looks.
func (w *watch) now(ctx context.Context) (*snapshot, error) {
	w.mu.Lock()
	if w.last != nil && w.server.Now().Sub(w.last.At) < w.server.Live {
		defer w.mu.Unlock()
		return w.last, w.last.Err
	}
	looking := w.looking
	if looking == nil {
		looking = make(chan struct{})
		w.looking = looking
		go w.look(looking)
	}
	w.mu.Unlock()
	select {
	case <-looking:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.last.Err
}

func (w *watch) look(looked chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	next := &snapshot{}
	next.Top, next.Err = w.server.Admin.Top(ctx, admin.SessionQuery{Most: 50})
	if next.Err == nil {
		next.Standings, next.Err = w.server.Admin.Standings(ctx, netip.Addr{})
	}
	next.At = w.server.Now()
	next.mark = markOf(next)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last, w.looking = next, nil
	close(looked)
}

// markOf is the same for snapshots that show the same, whenever they were made.
func markOf(s *snapshot) string {
	h := fnv.New64a()
	top := s.Top
	top.At = time.Time{}
	top.Status.HeapLive, top.Status.HeapFreed, top.Status.Stacks, top.Status.Mapped, top.Status.Goroutines = 0, 0, 0, 0, 0
	_ = json.NewEncoder(h).Encode([]any{top, s.Standings, s.Err != nil})
	return fmt.Sprintf("%x", h.Sum64())
}

var liveRoutes = []route{{path: "GET /live", role: Look, byItself: true, stream: tellChanges}}

// tellChanges tells a browser, for as long as it listens, when there is something new to be seen.
func tellChanges(r *request, w http.ResponseWriter) error {
	leave, err := r.server.watch.join(r.Who.Name)
	if err != nil {
		return err
	}
	defer leave()
	e, err := newEvents(w)
	if err != nil {
		return err
	}
	told := ""
	tick := time.NewTicker(r.server.Live)
	defer tick.Stop()
	for {
		s, _ := r.server.watch.now(r.Context())
		if s != nil && s.mark != told {
			told = s.mark
			err = e.send("changed", told)
		} else {
			err = e.send("", "")
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return nil
		}
	}
}

// join lets a person listen once more, if there is room.
func (w *watch) join(who string) (leave func(), err error) {
	const do = "The page shows what is new when it is loaded again."
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.streams[who] >= maxStreamsOf {
		return nil, &Problem{Status: http.StatusServiceUnavailable, Text: fmt.Sprintf("%d of your browsers or tabs are told of changes already, and more are not.", maxStreamsOf), Do: do}
	}
	all := 0
	for _, n := range w.streams {
		all += n
	}
	if all >= maxStreams {
		return nil, &Problem{Status: http.StatusServiceUnavailable, Text: fmt.Sprintf("%d browsers are told of changes already, and more are not.", maxStreams), Do: do}
	}
	w.streams[who]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.streams[who]--; w.streams[who] == 0 {
			delete(w.streams, who)
		}
	}, nil
}

// events are server-sent ones (HTML, 9.2).
type events struct {
	w  http.ResponseWriter
	to *http.ResponseController
}

// eventPatience is how long a browser may take none.
const eventPatience = 20 * time.Second

func newEvents(w http.ResponseWriter) (*events, error) {
	e := &events{w, http.NewResponseController(w)}
	if err := e.to.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of a proxy in between
	return e, e.send("", "")                  // what there is to tell may take a while
}

// send sends one; without a name, that the connection lives. The data is of one line.
func (e *events) send(name, data string) error {
	text := ": \n\n"
	if name != "" {
		text = "event: " + name + "\ndata: " + data + "\n\n"
	}
	err := e.to.SetWriteDeadline(time.Now().Add(eventPatience))
	if err == nil {
		_, err = e.w.Write([]byte(text))
	}
	return errors.Join(err, e.to.Flush())
}
