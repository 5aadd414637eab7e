package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	answer := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: complaints{m.log}, ErrorHandling: promhttp.ContinueOnError, Registry: m.registry,
		EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: scrapeTime,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.makeDue() // what was counted before is in the answer
		answer.ServeHTTP(w, r)
	})
}

const scrapeTime = 20 * time.Second

type complaints struct{ log *slog.Logger }

func (c complaints) Println(v ...any) {
	c.log.Error("metrics not answered as they should be", "error", fmt.Sprint(v...))
}

// A Server has scrapes answered at an address: as soon as it can listen there, and for as long as its context lasts. That it cannot is
// told, and stops nothing.
type Server struct {
	Address netip.AddrPort
	Handler http.Handler
	Log     *slog.Logger

	listen func(context.Context, string) (net.Listener, error) // nil: of TCP; tests replace it
}

// listenAgain is how often a Server tries to listen where it cannot.
const listenAgain = 10 * time.Second

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) {
	for told := ""; ; {
		l, err := s.open(ctx)
		if err == nil {
			if told != "" {
				s.Log.Info("metrics are served after all", "listen", s.Address)
			}
			told = ""
			err = s.serve(ctx, l)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			s.Log.Error("metrics are not served; mail goes on, and it is tried again", "listen", s.Address, "error", err, "again_in", listenAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenAgain):
		}
	}
}

func (s *Server) open(ctx context.Context) (net.Listener, error) {
	if s.listen != nil {
		return s.listen(ctx, s.Address.String())
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", s.Address.String())
}

// serve answers until ctx ends, or the listener fails.
func (s *Server) serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.Handler)
	server := &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: scrapeTime + 10*time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(netutil.LimitListener(l, mostConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return errors.Join(err, server.Close())
}

// mostConnections bounds those that are open at once, so that whoever may connect takes no descriptors from mail.
const mostConnections = 16
