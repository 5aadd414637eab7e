package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/who/veil"
)

// A Server answers the API.
type Server struct {
	http    http.Server
	ips     SendingIPs
	senders Senders
	orders  SenderOrders
	mxs     MXs
	process Process
	log     *slog.Logger
	now     func() time.Time
	conns   connections
	doors   doors
	view    atomic.Pointer[view]
}

// Bounds of a request: all are small, and none waits for anything.
const (
	maxRequest = 64 << 10
	patience   = 10 * time.Second
)

// NewServer makes a server that is not serving yet.
func NewServer(ips SendingIPs, senders Senders, orders SenderOrders, mxs MXs, process Process, log *slog.Logger) *Server {
	s := &Server{ips: ips, senders: senders, orders: orders, mxs: mxs, process: process, log: log, now: time.Now}
	mux := &s.doors
	mux.mux = http.NewServeMux()
	mux.open(MayLook, "GET /v1/ips", s.list)
	mux.open(MayLook, "GET /v1/ips/{ip}", s.show)
	mux.open(MayAct, "POST /v1/ips/{ip}/suspend", s.suspend)
	mux.open(MayAct, "POST /v1/ips/{ip}/resume", s.resume)
	mux.open(MayLook, "GET /v1/warm-ups", s.listWarmUps)
	mux.open(MayLook, "GET /v1/ips/{ip}/warm-up", s.showWarmUp)
	mux.open(MayAct, "POST /v1/ips/{ip}/warm-up", s.orderWarmUp)
	mux.open(MayLook, "GET /v1/shaping", s.listShaping)
	mux.open(MayLook, "GET /v1/ips/{ip}/shaping", s.showShaping)
	mux.open(MayLook, "GET /v1/sightings", s.listSightings)
	mux.open(MayLook, "GET /v1/ips/{ip}/sightings", s.showSightings)
	mux.open(MayLook, "GET /v1/mxs", s.listPlainMXs)
	mux.open(MayLook, "GET /v1/mxs/{ip}", s.showMX)
	mux.open(MayAct, "POST /v1/tries", s.try)
	mux.open(MayAct, "GET /v1/tries/{try}", s.showTry)
	mux.open(MayLook, "GET /v1/status", s.showStatus)
	mux.open(MayLook, "GET /v1/ready", s.showReady)
	mux.open(MayLook, "GET /v1/sessions", s.listSessions)
	mux.open(MayAct, "POST /v1/sessions/{session}/end", s.endSession)
	mux.open(MaySearch, "GET /v1/trace", s.trace)
	mux.open(MayLook, "GET /v1/top", s.top)
	mux.open(MayAct, "POST /v1/reload", s.reload)
	mux.open(MayAct, "POST /v1/handover", s.handOver)
	mux.open(MayAct, "POST /v1/takeovers", s.takeOver)
	mux.open(MayAct, "POST /v1/takeovers/{takeover}/confirm", s.confirmTakeover)
	s.handleSenders(mux)
	s.handleDomains(mux)
	s.http = http.Server{
		Handler: http.MaxBytesHandler(s.conns.whenHeard(s.asView(mux.mux)), maxRequest), ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience,
		ConnContext: s.conns.enter, ConnState: s.conns.changed, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s
}

// Serve answers until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops at once; the socket's file goes with it.
func (s *Server) Close() error { return s.http.Close() }

// Shutdown is Close behind the answers that are being given.
func (s *Server) Shutdown(ctx context.Context) error {
	return errors.Join(s.http.Shutdown(ctx), s.http.Close())
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.answerStandings(w, r, netip.Addr{})
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	if ip, ok := s.ip(w, r); ok {
		s.answerStandings(w, r, ip)
	}
}

func (s *Server) answerStandings(w http.ResponseWriter, r *http.Request, ip netip.Addr) {
	all, err := s.ips.Standings(ip)
	if err != nil {
		s.refuse(w, http.StatusNotFound, err)
		return
	}
	if all == nil {
		all = []Standing{}
	}
	s.answer(w, r, all)
}

// A change is the body of a request that changes something.
type change struct {
	Provider string `json:"provider"`
	For      string `json:"for"`
	Reason   string `json:"reason"`
}

func (s *Server) suspend(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, func(ip netip.Addr, c change, who string) error {
		switch {
		case strings.TrimSpace(c.Reason) == "":
			return errors.New("a suspension wants a \"reason\": mail takes other ways meanwhile, and somebody will ask why")
		case len(c.Reason) > maxReason || !printable(c.Reason):
			return errBadReason
		}
		until, err := end(c.For, "", s.now())
		if err != nil {
			return err
		}
		return s.ips.Suspend(ip, c.Provider, until, c.Reason, who)
	})
}

func (s *Server) resume(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, func(ip netip.Addr, c change, who string) error {
		if len(c.Reason) > maxReason || !printable(c.Reason) {
			return errBadReason
		}
		return s.ips.Resume(ip, c.Provider, c.Reason, who)
	})
}

// change does one, logs who asked for it, and shows what came of it.
func (s *Server) change(w http.ResponseWriter, r *http.Request, do func(netip.Addr, change, string) error) {
	ip, ok := s.ip(w, r)
	if !ok {
		return
	}
	var c change
	if !s.read(w, r, &c) {
		return
	}
	who := peerOf(r.Context())
	if err := do(ip, c, who); err != nil {
		s.refuseOrder(w, err)
		return
	}
	s.log.Info("changed by the operator", "request", r.URL.Path, "provider", c.Provider, "for", c.For, "reason", c.Reason, "who", who)
	s.answerStandings(w, r, ip)
}

// read reads the body of a request: one JSON object and nothing behind it. An order that is cut short, or is two, is none.
func (s *Server) read(w http.ResponseWriter, r *http.Request, body any) bool {
	if err := readObject(r.Body, body); err != nil {
		s.refuse(w, http.StatusBadRequest, fmt.Errorf("the request is not understood: %w", err))
		return false
	}
	return true
}

func readObject(r io.Reader, body any) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if text = bytes.TrimSpace(text); !bytes.HasPrefix(text, []byte("{")) {
		return fmt.Errorf("want a JSON object as its body, got %.20q", text)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(body); err != nil {
		return err
	}
	if rest := bytes.TrimSpace(text[dec.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("want one JSON object, got %.20q behind it", rest)
	}
	return nil
}

// refuseOrder answers with the error's own status, if it has one: else the order is what is wrong.
func (s *Server) refuseOrder(w http.ResponseWriter, err error) {
	var own *Error
	if errors.As(err, &own) {
		s.refuseFor(w, err)
		return
	}
	s.refuse(w, http.StatusBadRequest, err)
}

func (s *Server) ip(w http.ResponseWriter, r *http.Request) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(r.PathValue("ip"))
	if err != nil {
		s.refuse(w, http.StatusBadRequest, fmt.Errorf("%q is no IP address", r.PathValue("ip")))
		return ip, false
	}
	return ip.Unmap(), true
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, v any) {
	w.Header().Set("Content-Type", "application/json")
	if ofView(r).veils {
		v = veil.Model(v)
	}
	if err := json.NewEncoder(w).Encode(inUTC(v)); err != nil {
		s.log.Warn("admin answer not sent", "error", err)
	}
}

func (s *Server) refuse(w http.ResponseWriter, status int, err error) { refuse(w, status, err) }

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{err.Error()})
}

type failure struct {
	Error string `json:"error"`
}

// peerOfConn says who is at the other end, as the kernel does: the name, and the number, or -1.
func peerOfConn(c net.Conn) (string, int64) {
	cred := credOf(c)
	switch {
	case cred == nil:
		return "unknown", -1
	case hidden(cred.Uid):
		return "unknown (user namespace)", -1
	}
	id := strconv.Itoa(int(cred.Uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username, int64(cred.Uid)
	}
	return "uid " + id, int64(cred.Uid)
}

func credOf(c net.Conn) (cred *unix.Ucred) {
	unixConn, ok := c.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil {
		return nil
	}
	return cred
}

// hidden says of a user that it is not the one at the other end: the kernel shows one that this process's user namespace does not have as
// its overflow user, who is a real one elsewhere (user_namespaces(7)).
func hidden(uid uint32) bool {
	overflow, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil || strings.TrimSpace(string(overflow)) != strconv.FormatUint(uint64(uid), 10) {
		return false
	}
	have, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && !maps(string(have), uid)
}

// maps says whether a map of users (user_namespaces(7)) has one.
func maps(users string, uid uint32) bool {
	for line := range strings.Lines(users) {
		var inside, outside, length uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &length); err == nil && uint64(uid) >= inside && uint64(uid)-inside < length {
			return true
		}
	}
	return false
}
