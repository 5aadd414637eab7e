package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Behind a request that is too large the server waits for half a second before it closes.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// fakeIPs knows one sending IP and notes what is asked of it.
type fakeIPs struct {
	calls []string
	until time.Time
}

var ip = netip.MustParseAddr("203.0.113.10")

func (f *fakeIPs) Standings(asked netip.Addr) ([]Standing, error) {
	switch asked {
	case netip.Addr{}:
		return nil, nil
	case ip:
		return []Standing{{IP: ip, Provider: "google", State: "suspended", Share: 0.5, Evidence: []Evidence{{Class: "ip_blocklisted"}}}}, nil
	}
	return nil, errors.New(asked.String() + " is no sending IP of this kanmon")
}

func (f *fakeIPs) Suspend(ip netip.Addr, provider string, until time.Time, reason, who string) error {
	f.calls, f.until = append(f.calls, strings.Join([]string{"suspend", ip.String(), provider, reason, who}, "|")), until
	return nil
}

func (f *fakeIPs) WarmUps(asked netip.Addr) ([]WarmUp, error) {
	if asked.IsValid() && asked != ip {
		return nil, errors.New(asked.String() + " is no sending IP of this kanmon")
	}
	return []WarmUp{{IP: ip, State: Warming, Step: 4, Steps: 30, Classes: []WarmUpClass{{Provider: "google", Mails: 3, Amount: 50}}}}, nil
}

func (f *fakeIPs) Shaping(asked netip.Addr) (s Shaping, err error) {
	if asked.IsValid() && asked != ip {
		return s, errors.New(asked.String() + " is no sending IP of this kanmon")
	}
	return Shaping{Mode: "on", Takes: []Takes{{IP: ip, Provider: "orange", Count: "connections", Amount: 2, Kept: true, Now: 1, Used: 1}}}, nil
}

func (f *fakeIPs) Sightings(asked netip.Addr) ([]Sighting, error) {
	if asked.IsValid() && asked != ip {
		return nil, errors.New(asked.String() + " is no sending IP of this kanmon")
	}
	return []Sighting{{IP: ip, List: "spamhaus-zen", State: "listed", Bad: true, Answers: []string{"127.0.0.4"}}}, nil
}

func (f *fakeIPs) WarmUp(ip netip.Addr, o WarmUpOrder, who string) error {
	f.calls = append(f.calls, fmt.Sprintf("warm-up|%s|%d|%v|%s|%s", ip, o.Step, o.Finish, o.Reason, who))
	return nil
}

func (f *fakeIPs) Resume(ip netip.Addr, provider, reason, who string) error {
	f.calls = append(f.calls, strings.Join([]string{"resume", ip.String(), provider, reason, who}, "|"))
	return nil
}

// fakeMXs remembers one MX.
type fakeMXs struct{ *fakeDomains }

func (fakeMXs) MX(addr netip.Addr) MX {
	return MX{MX: addr, Known: addr == ip, Strikes: 1, Failures: []MXFailure{{Phase: "handshake", Cause: "EOF"}}}
}

// Try says what has arrived.
func (fakeMXs) Try(_ context.Context, o TryOrder, who string) (Try, error) {
	return Try{ID: "t1", By: who, MX: o.MX, Domain: o.Domain, Sender: o.Sender, Recipient: o.Recipient, Dialogues: []TryDialogue{{IP: ip, State: TryWaiting}}}, nil
}

// Tried knows one.
func (fakeMXs) Tried(id string) (Try, error) {
	if id != "t1" {
		return Try{}, &Error{http.StatusNotFound, errors.New("there is no such try, or no more")}
	}
	return Try{ID: id, MX: ip, Over: true, Dialogues: []TryDialogue{{IP: ip, State: TryRefused, Steps: []TryStep{{Phase: "rcpt", Code: 550, Reply: "550 bob@example.net"}}}}}, nil
}

func (fakeMXs) PlainMXs() PlainMXs {
	return PlainMXs{MXs: []MX{fakeMXs{}.MX(ip)}, Remembered: 2}
}

// fakeProcess is how the server's tests are.
type fakeProcess struct{}

// Unready is ready.
func (fakeProcess) Unready() string { return "" }

func (fakeProcess) Status() Status {
	return Status{Problems: []Problem{}, Sessions: 7, RecordsDropped: 3, Goroutines: 12, HeapLive: 5 << 20, Mapped: 9 << 20}
}

// Sessions has one for whoever asks rightly.
func (fakeProcess) Sessions(q SessionQuery) (Sessions, error) {
	if q.State == "asleep" {
		return Sessions{}, errors.New("\"asleep\" is no state")
	}
	s := Session{Session: "64d9a07b2e1c8f35", State: "mx", Step: "rcpt", For: 61.5, Held: true, Tenant: q.Tenant, MX: netip.AddrPortFrom(q.MX, 25)}
	return Sessions{Running: 3, Most: 10000, Matching: 1, Held: 1, Sessions: []Session{s}[:min(q.Most, 1)]}, nil
}

// EndSession ends one, and says for whom.
func (fakeProcess) EndSession(_ context.Context, session, reason, who string) (SessionEnd, error) {
	if session != "64d9a07b2e1c8f35" {
		return SessionEnd{}, &Error{http.StatusNotFound, errors.New("it does not run")}
	}
	return SessionEnd{Session: session, Came: SessionWaits + ", " + reason + ", " + who}, nil
}

// Reload refuses.
func (fakeProcess) Reload(context.Context) (Reloaded, error) {
	return Reloaded{}, errors.New("kanmon.toml:3: no such key")
}

// TakeOver refuses.
func (fakeProcess) TakeOver(context.Context, string) (Takeover, error) {
	return nil, &Error{http.StatusConflict, errors.New("its listeners are its own")}
}

// ConfirmTakeover refuses.
func (fakeProcess) ConfirmTakeover(string) (HandedOver, error) {
	return HandedOver{}, &Error{http.StatusConflict, errors.New("there is no such takeover")}
}

// HandOver says in whose name it is.
func (fakeProcess) HandOver(who string) (HandedOver, error) {
	if who == "" {
		return HandedOver{}, errors.New("in nobody's name")
	}
	return HandedOver{Sessions: 3, Notice: 3, Soft: 330, Sockets: true}, nil
}

func TestAHandoverIsAsked(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	got, err := NewClient(path).HandOver(t.Context())
	if want := (HandedOver{Sessions: 3, Notice: 3, Soft: 330, Sockets: true}); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
}

func TestShowStatus(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	got, err := NewClient(path).Status(t.Context())
	if diff := cmp.Diff(fakeProcess{}.Status(), got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// A reload is answered with why it is none, or with what came of it.
//
// firstday-15
func TestReloadIsAsked(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	if _, err := NewClient(path).Reload(t.Context()); err == nil || err.Error() != "kanmon.toml:3: no such key" {
		t.Errorf("refused: %v", err)
	}
	nobody := NoAnswer{}
	if _, err := NewClient(path + ".none").Reload(t.Context()); !errors.As(err, &nobody) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestShowMX(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	got, err := NewClient(path).MX(t.Context(), ip)
	want := fakeMXs{}.MX(ip)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if all, err := NewClient(path).PlainMXs(t.Context()); err != nil || len(all.MXs) != 1 || all.MXs[0].MX != ip || all.Remembered != 2 {
		t.Errorf("in plain text: %v, %v", all, err)
	}
	mapped, err := NewClient(path).MX(t.Context(), netip.MustParseAddr("::ffff:203.0.113.10"))
	if err != nil || mapped.MX != ip {
		t.Errorf("an IPv4 address in IPv6 form: %v, %v", mapped.MX, err)
	}
}

// serve gives the path of a socket that a server listens on, and its log.
func serve(t *testing.T, ips SendingIPs, senders *fakeSenders) (path string, log *strings.Builder) {
	t.Helper()
	path, log, _ = serveAs(t, ips, senders)
	return path, log
}

func serveAs(t *testing.T, ips SendingIPs, senders *fakeSenders) (path string, log *strings.Builder, s *Server) {
	t.Helper()
	path, log = filepath.Join(t.TempDir(), "admin.sock"), new(strings.Builder)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s = NewServer(ips, senders, senders, fakeMXs{&fakeDomains{}}, fakeProcess{}, slog.New(slog.NewTextHandler(log, nil)))
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return path, log, s
}

func TestCommands(t *testing.T) {
	var ips fakeIPs
	path, log := serve(t, &ips, nil)
	c := NewClient(path)
	if all, err := c.Standings(t.Context(), netip.Addr{}); err != nil || len(all) != 0 {
		t.Errorf("list: %v, %v", all, err)
	}
	got, err := c.Suspend(t.Context(), ip, "google", 2*time.Hour, "asked by phone")
	want, _ := ips.Standings(ip)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("suspend: %v\n%s", err, diff)
	}
	if left := time.Until(ips.until); left < 119*time.Minute || left > 2*time.Hour {
		t.Errorf("suspended for %s", left)
	}
	if _, err := c.Suspend(t.Context(), ip, "", 0, "until I say so"); err != nil || !ips.until.IsZero() {
		t.Errorf("suspend without an end: %v, until %v", err, ips.until)
	}
	if _, err := c.Resume(t.Context(), ip, "google", "mended"); err != nil {
		t.Error(err)
	}
	me := peerNameOfTest(t)
	if diff := cmp.Diff([]string{"suspend|203.0.113.10|google|asked by phone|" + me, "suspend|203.0.113.10||until I say so|" + me, "resume|203.0.113.10|google|mended|" + me}, ips.calls); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(log.String(), "changed by the operator"); n != 3 || !strings.Contains(log.String(), "who="+me) {
		t.Errorf("logged:\n%s", log)
	}
}

func peerNameOfTest(t *testing.T) string {
	t.Helper()
	if os.Getuid() == 0 {
		return "root"
	}
	return os.Getenv("USER")
}

func TestErrorsAreShown(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	c := NewClient(path)
	if _, err := c.Standings(t.Context(), netip.MustParseAddr("192.0.2.1")); err == nil || err.Error() != "192.0.2.1 is no sending IP of this kanmon" {
		t.Errorf("unknown IP: %v", err)
	}
	for request, want := range map[string]string{
		`POST /v1/ips/203.0.113.10/suspend {"for":"soon","reason":"x"}`:          `"for" is "soon", want a duration such as 90m or 2h`,
		`POST /v1/ips/203.0.113.10/suspend {"for":"-1h","reason":"x"}`:           `want a duration`,
		`POST /v1/ips/203.0.113.10/suspend {"provder":"x"}`:                      `unknown field`,
		`POST /v1/ips/203.0.113.10/suspend {"provider":`:                         `not understood`,
		`POST /v1/ips/203.0.113.10/suspend `:                                     `want a JSON object as its body`,
		`POST /v1/ips/203.0.113.10/suspend null`:                                 `want a JSON object as its body`,
		`POST /v1/ips/203.0.113.10/suspend {}`:                                   `a suspension wants a "reason"`,
		`POST /v1/ips/203.0.113.10/suspend {"reason":" "}`:                       `a suspension wants a "reason"`,
		`POST /v1/ips/203.0.113.10/suspend {"reason":"x"}{"for":"2h"}`:           `behind it`,
		`POST /v1/ips/203.0.113.10/suspend {"reason":"x"} 1h`:                    `behind it`,
		`POST /v1/ips/203.0.113.10/resume `:                                      `want a JSON object as its body`,
		`POST /v1/ips/nonsense/resume {}`:                                        `\"nonsense\" is no IP address`,
		`GET /v1/ips/203.0.113.10%00 `:                                           `is no IP address`,
		`DELETE /v1/ips/203.0.113.10 `:                                           `Method Not Allowed`,
		`GET /debug/pprof/ `:                                                     `not found`,
		"POST /v1/ips/203.0.113.10/suspend " + strings.Repeat("x", maxRequest+1): `not understood`,
	} {
		method, rest, _ := strings.Cut(request, " ")
		target, body, _ := strings.Cut(rest, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "http://kanmon"+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			t.Errorf("%.60s: %v", request, err)
			continue
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode < 400 || !strings.Contains(string(answer), strings.ReplaceAll(want, `"`, `\"`)) && !strings.Contains(string(answer), want) {
			t.Errorf("%.60s: %s %s, want %s", request, resp.Status, answer, want)
		}
	}
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	if _, err := NewClient(path).Standings(t.Context(), ip); err == nil || !strings.Contains(err.Error(), "is kanmon running") {
		t.Errorf("no socket: %v", err)
	}
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another kanmon") {
		t.Errorf("a living socket: %v", err)
	}
	_ = first.(*Socket).UnixListener.Close() // as one that is killed does
	second, err := Listen(path)
	if err != nil {
		t.Fatalf("a socket left behind: %v", err)
	}
	_ = second.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
}
