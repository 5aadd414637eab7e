package web

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event/journal"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
	"kanmon/internal/view/notes"
)

// Options say what a server shows, and to whom.
type Options struct {
	Gateway string                               // as the records name it
	Admin   *admin.Client                        // of the kanmon that is shown
	History history.Store                        // nil: there is none
	Rules   *classify.Rules                      // what refusals mean, beside what the records say of it; nil: only that
	Shown   journal.Mask                         // how the records show addresses
	Names   find.Resolver                        // asked for the names of sending IPs; nil: nobody is
	Notes   *notes.Book                          // nil: none are kept
	Users   *Users                               // who may log in; nil: nobody, a proxy says who it is
	Proxy   *Proxy                               // that says who it is; nil: none
	May     Role                                 // what is possible at most, whoever it is
	TLS     bool                                 // browsers reach it by TLS
	Idle    time.Duration                        // after which a login ends; 0: DefaultIdle
	Longest time.Duration                        // that a login lasts; 0: DefaultLongest
	Site    func(context.Context) (*Site, error) // what is configured, and what kanmon check finds; nil: nobody knows
	Ways    func() Ways                          // whence mail may leave; nil: nobody knows
	Live    time.Duration                        // between two looks at what is live; 0: a second
	Empty   func() string                        // why there is nothing yet to be seen, as package check finds; nil: nobody knows
	Log     *slog.Logger
	Now     func() time.Time // nil: the clock
}

// Bounds of what one process serves.
const (
	maxConnections = 256
	maxRequest     = 256 << 10 // octets: 500 addresses, or a bounce
	maxHeader      = 32 << 10
	patience       = 10 * time.Second // for a request to come
	answerPatience = 30 * time.Second // for an answer to be taken
	maxWorking     = 16               // pages that are made at once
)

// A Server answers browsers.
type Server struct {
	Options
	http    http.Server
	routes  []route
	pages   map[string]*template.Template
	logins  logins
	tries   tries
	watch   *watch
	working chan struct{}
	ptrs    ptrBook
	life    context.Context //nolint:containedctx // of the server: what goes on behind a page ends with it
	stop    context.CancelFunc
	streams sync.WaitGroup

	emptied sync.Mutex // guards these
	empty   string
	before  time.Time
	emptyAt time.Time
}

// New makes a server that is not serving yet.
func New(o Options) (*Server, error) {
	s := &Server{Options: o, routes: routes(), working: make(chan struct{}, maxWorking)}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Live == 0 {
		s.Live = time.Second
	}
	if s.Users == nil && s.Proxy == nil {
		return nil, errors.New("nobody could log in: there is neither a file of users nor a proxy that says who it is")
	}
	s.logins.begin(s.Idle, s.Longest)
	s.watch = newWatch(s)
	var err error
	if s.pages, err = parsePages(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.life, s.stop = ctx, cancel
	s.http = http.Server{
		Handler: s.handler(), ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: answerPatience, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), ConnContext: s.meet,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	return s, nil
}

// Serve answers until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(bounded(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close lets what is being answered end, for as long as the context lasts.
func (s *Server) Close(ctx context.Context) error {
	s.stop() // streams have no end of their own
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	s.streams.Wait()
	return err
}

// handler is all that a request passes.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes {
		mux.Handle(r.path, s.serve(&r))
	}
	mux.Handle("GET /static/", staticFiles())
	mux.Handle("/", s.serve(&route{path: "GET /", role: Look, title: "Not found", model: notFound}))
	guarded := http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(mux, maxRequest))
	return secured(guarded, s.TLS)
}
