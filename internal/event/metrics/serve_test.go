package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A port that is in use is told once, and tried again until there is room; then scrapes are answered.
func TestServerWaitsForItsPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		tries, listener := 0, &silent{closed: make(chan struct{})}
		s := &Server{Address: netip.MustParseAddrPort("127.0.0.1:9725"), Handler: http.NotFoundHandler(), Log: slog.New(slog.NewTextHandler(&log, nil))}
		s.listen = func(context.Context, string) (net.Listener, error) {
			if tries++; tries < 4 {
				return nil, errors.New("address already in use")
			}
			return listener, nil
		}
		ctx, stop := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { s.Run(ctx) })
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if tries != 4 || listener.accepts == 0 {
			t.Errorf("tried %d times, asked for connections %d times", tries, listener.accepts)
		}
		stop()
		ended.Wait()
		text := log.String()
		if strings.Count(text, "metrics are not served") != 1 || strings.Count(text, "served after all") != 1 || !strings.Contains(text, "address already in use") {
			t.Errorf("log: %s", text)
		}
	})
}

// silent is a listener that nobody connects to.
type silent struct {
	accepts int
	closed  chan struct{}
	once    sync.Once
}

func (s *silent) Accept() (net.Conn, error) {
	s.accepts++
	<-s.closed
	return nil, net.ErrClosed
}

func (s *silent) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *silent) Addr() net.Addr { return &net.TCPAddr{} }

// lines are a log that many write to.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Whoever may scrape can do nothing else: there is one page, and it is only read.
func TestServerHasOnePage(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr).AddrPort()
	s := &Server{Address: address, Handler: newMetrics(t, nil).Handler(), Log: slog.New(slog.DiscardHandler)}
	s.listen = func(context.Context, string) (net.Listener, error) { return l, nil }
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { s.Run(ctx) })
	for _, ask := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/metrics", http.StatusOK},
		{"POST", "/metrics", http.StatusMethodNotAllowed},
		{"GET", "/", http.StatusNotFound},
		{"GET", "/debug/pprof/", http.StatusNotFound},
	} {
		r, err := http.NewRequestWithContext(t.Context(), ask.method, "http://"+address.String()+ask.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != ask.want {
			t.Errorf("%s %s: %s, want %d", ask.method, ask.path, response.Status, ask.want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	ended.Wait()
}
