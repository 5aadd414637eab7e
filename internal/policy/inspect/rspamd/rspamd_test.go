package rspamd

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

func engine(t *testing.T, s Settings) *Engine {
	t.Helper()
	e, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// handled is an Engine that asks a server which does what a test says.
func handled(t *testing.T, handle http.HandlerFunc) *Engine {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return engine(t, Settings{Address: s.URL})
}

// raw is an Engine that asks a server which has a connection to itself.
func raw(t *testing.T, handle func(net.Conn, *bufio.Reader)) *Engine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				handle(conn, bufio.NewReader(conn))
			}()
		}
	}()
	return engine(t, Settings{Address: "http://" + l.Addr().String()})
}

// readRequest reads a request with its body.
func readRequest(in *bufio.Reader) {
	if r, err := http.ReadRequest(in); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

func mail(text string) *inspect.Mail { return inspect.ProbeMail([]byte(text)) }

const noAction = `{"is_skipped":false,"score":0.5,"required_score":10.0,"action":"no action","symbols":{},"time_real":0.001}`

// Whatever an Rspamd answers: only 200 with an action is a verdict, and not where Rspamd says itself that it has not seen all.
func TestReplies(t *testing.T) {
	for _, c := range []struct {
		code   int
		reply  string
		state  event.ScanState
		lack   event.Lack
		action string
	}{
		{200, noAction, event.Scanned, 0, "no action"},
		{200, `{"action":"reject","is_skipped":true,"symbols":{"GTUBE":{"score":0}}}`, event.Scanned, 0, "reject"},
		{200, `{"action":"add header","score":7,"required_score":15}`, event.Scanned, 0, "add header"},
		{200, `{"action":"soft reject","score":0,"time_real":0.1}`, event.Scanned, 0, "soft reject"},
		{200, `{"action":"no action","time_real":7.9}`, event.ScanFailed, event.LackUnavailable, "no action"},
		{200, `{"action":"add header","time_real":8.7}`, event.ScanFailed, event.LackUnavailable, "add header"},
		{200, `{"action":"reject","time_real":8.7}`, event.Scanned, 0, "reject"},
		{200, `{"action":"no action","symbols":{"CLAM_VIRUS_FAIL":{"score":0}}}`, event.ScanFailed, event.LackUnavailable, "no action"},
		{200, `{"action":"no action","symbols":{"KANMON_TIME_FAIL":{"score":0}}}`, event.ScanFailed, event.LackUnavailable, "no action"},
		{200, `{"action":"no action","symbols":{"R_SPF_FAIL":{"score":1}}}`, event.Scanned, 0, "no action"},
		{200, `{"action":"reject","symbols":{"CLAM_VIRUS_FAIL":{"score":0}}}`, event.Scanned, 0, "reject"},
		{200, `{"action":""}`, event.ScanFailed, event.LackUnavailable, ""},
		{200, `{"action":null}`, event.ScanFailed, event.LackUnavailable, ""},
		{200, `{"action":5}`, event.ScanFailed, event.LackUnavailable, ""},
		{200, `{"score":0}`, event.ScanFailed, event.LackUnavailable, ""},
		{200, `{}`, event.ScanFailed, event.LackUnavailable, ""},
		{200, ``, event.ScanFailed, event.LackUnavailable, ""},
		{200, `no action`, event.ScanFailed, event.LackUnavailable, ""},
		{200, noAction + noAction, event.ScanFailed, event.LackUnavailable, ""},
		{200, noAction[:len(noAction)-1], event.ScanFailed, event.LackUnavailable, ""},
		{200, `{"action":"no action","score":1e999}`, event.ScanFailed, event.LackUnavailable, ""},
		{200, `{"error":"unknown"}`, event.ScanFailed, event.LackUnavailable, ""},
		{200, `{"action":"no action","x":"` + strings.Repeat("x", mostReply) + `"}`, event.ScanFailed, event.LackUnavailable, ""},
		{200, `{"action":"` + strings.Repeat("x", 1000) + `"}`, event.ScanFailed, event.LackUnavailable, ""},
		{204, noAction, event.ScanFailed, event.LackUnavailable, ""},
		{301, noAction, event.ScanFailed, event.LackUnavailable, ""},
		{401, noAction, event.ScanFailed, event.LackUnavailable, ""},
		{404, `{"error":"invalid command"}`, event.ScanFailed, event.LackUnavailable, ""},
		{413, ``, event.ScanFailed, event.LackTooLarge, ""},
		{500, `{"error":"invalid command"}`, event.ScanFailed, event.LackUnavailable, ""},
		{503, ``, event.ScanFailed, event.LackUnavailable, ""},
	} {
		e := handled(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(c.code)
			if c.code != 204 {
				_, _ = io.WriteString(w, c.reply)
			}
		})
		got := e.Scan(t.Context(), mail("x"))
		if got.State != c.state || got.Lack != c.lack || got.Action != c.action || (got.Why == "") != (got.State == event.Scanned) || len(got.Why) > 210 {
			t.Errorf("%d %.80q: %+v", c.code, c.reply, got)
		}
	}
}

// What is asked is what Rspamd understands: a request that ends by its length, on a connection of its own, with the whole envelope.
func TestRequest(t *testing.T) {
	var got *http.Request
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, body = r, string(text)
		_, _ = io.WriteString(w, noAction)
	}))
	defer s.Close()
	e := engine(t, Settings{Address: s.URL, SettingsID: "outbound"})
	m := mail("Subject: x\r\n\r\n.\r\n..x\r\n")
	m.Sender, m.Recipients, m.Helo = "", []string{"a..b@docomo.example", "é@bücher.example"}, "msa.example"
	if said := e.Scan(t.Context(), m); said.State != event.Scanned || said.Score != 0.5 || said.Threshold != 10 {
		t.Errorf("%+v", said)
	}
	if got.Method != http.MethodPost || got.URL.Path != "/checkv2" || !got.Close || got.ContentLength != m.Octets || len(got.TransferEncoding) > 0 {
		t.Errorf("%+v", got)
	}
	if body != "Subject: x\r\n\r\n.\r\n..x\r\n" {
		t.Errorf("body %q", body)
	}
	for field, want := range map[string][]string{
		"From": {"<>"}, "Rcpt": {`"a..b"@docomo.example`, "%C3%A9@xn--bcher-kva.example"}, "User": {m.User()}, "Ip": {"192.0.2.25"},
		"Helo": {"msa.example"}, "Settings-Id": {"outbound"}, "Queue-Id": {"probe"}, "File": nil, "Path": nil, "Pass": nil, "Expect": nil,
	} {
		if fmt.Sprint(got.Header[field]) != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %q", field, got.Header[field], want)
		}
	}
}

// A message of no octets is asked about, too.
func TestNoOctets(t *testing.T) {
	e := handled(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			t.Errorf("length %d", r.ContentLength)
		}
		_, _ = io.WriteString(w, noAction)
	})
	if got := e.Scan(t.Context(), mail("")); got.State != event.Scanned {
		t.Errorf("%+v", got)
	}
}

// A connection that ends without a word is an Rspamd with as many tasks as it takes; one that is reset in the middle of a large message is
// one whose 413 is lost; all else is an Rspamd that is not there.
func TestConnectionsThatEnd(t *testing.T) {
	const large = 16 << 20
	for _, c := range []struct {
		name   string
		octets int
		lack   event.Lack
		handle func(net.Conn, *bufio.Reader)
	}{
		{"without a word", 100, event.LackBusy, func(_ net.Conn, in *bufio.Reader) { readRequest(in) }},
		{"reset at once", 100, event.LackUnavailable, func(conn net.Conn, in *bufio.Reader) {
			readRequest(in)
			_ = conn.(*net.TCPConn).SetLinger(0)
		}},
		{"reset while writing", large, event.LackTooLarge, func(conn net.Conn, in *bufio.Reader) {
			_, _ = io.CopyN(io.Discard, in, 1<<20)
			_ = conn.(*net.TCPConn).SetLinger(0)
		}},
		{"half a reply", 100, event.LackUnavailable, func(conn net.Conn, in *bufio.Reader) {
			readRequest(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+noAction)
		}},
		{"half a status", 100, event.LackUnavailable, func(conn net.Conn, in *bufio.Reader) {
			readRequest(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 20")
		}},
		{"no HTTP", 100, event.LackUnavailable, func(conn net.Conn, in *bufio.Reader) {
			readRequest(in)
			_, _ = io.WriteString(conn, "SSH-2.0-x\r\n"+strings.Repeat("x", 1000))
		}},
		{"headers for ever", 100, event.LackUnavailable, func(conn net.Conn, in *bufio.Reader) {
			readRequest(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(conn, "X: "+strings.Repeat("x", 4000)+"\r\n"); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := raw(t, c.handle).Scan(t.Context(), mail(strings.Repeat("x", c.octets)))
			if got.State != event.ScanFailed || got.Lack != c.lack {
				t.Errorf("%+v", got)
			}
		})
	}
	if got := engine(t, Settings{Address: "http://127.0.0.1:1"}).Scan(t.Context(), mail("x")); got.Lack != event.LackUnavailable {
		t.Errorf("nobody listens: %+v", got)
	}
}

// What hangs is ended by the context, wherever it hangs.
func TestHangs(t *testing.T) {
	wait := make(chan struct{})
	defer close(wait)
	for name, handle := range map[string]func(net.Conn, *bufio.Reader){
		"reads nothing": func(net.Conn, *bufio.Reader) { <-wait },
		"says nothing":  func(_ net.Conn, in *bufio.Reader) { readRequest(in); <-wait },
		"drips": func(conn net.Conn, in *bufio.Reader) {
			readRequest(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := io.WriteString(conn, " "); err != nil {
					return
				}
				select {
				case <-wait:
				case <-time.After(50 * time.Millisecond):
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			got := raw(t, handle).Scan(ctx, mail(strings.Repeat("x", 16<<20)))
			if got.Lack != event.LackUnavailable || time.Since(began) > 10*time.Second {
				t.Errorf("%+v after %v", got, time.Since(began))
			}
		})
	}
}

// By a Unix socket, and by TLS with a certificate that must be good.
func TestWays(t *testing.T) {
	handle := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" {
			_, _ = io.WriteString(w, "pong\r\n")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, noAction)
	})
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Server{Handler: handle}
	go func() { _ = plain.Serve(l) }()
	defer func() { _ = plain.Close() }()
	e := engine(t, Settings{Address: "unix:" + path})
	if got := e.Scan(t.Context(), mail("x")); got.State != event.Scanned || e.Ping(t.Context()) != nil {
		t.Errorf("unix: %+v", got)
	}

	secure := httptest.NewTLSServer(handle)
	defer secure.Close()
	known := x509.NewCertPool()
	known.AddCert(secure.Certificate())
	for _, c := range []struct {
		config *tls.Config
		state  event.ScanState
	}{{&tls.Config{RootCAs: known, ServerName: "example.com"}, event.Scanned}, {nil, event.ScanFailed}} {
		if got := engine(t, Settings{Address: secure.URL, TLS: c.config}).Scan(t.Context(), mail("x")); got.State != c.state {
			t.Errorf("TLS: %+v", got)
		}
	}
}

// The symbols that are kept are those with the most points, and nothing of what they quote.
func TestSymbols(t *testing.T) {
	var list []string
	for i := range 100 {
		list = append(list, fmt.Sprintf(`"S%02d":{"score":%d,"options":["secret.example"]}`, i, i-50))
	}
	r, err := parse([]byte(`{"action":"reject","symbols":{` + strings.Join(list, ",") + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := r.scan(taskTimeout).Symbols
	if len(got) != event.MaxSymbols || got[0] != (event.Symbol{Name: "S00", Points: -50}) || got[1] != (event.Symbol{Name: "S01", Points: -49}) ||
		got[2] != (event.Symbol{Name: "S99", Points: 49}) {
		t.Errorf("%+v", got)
	}
}

// What Rspamd would change is counted.
func TestChanges(t *testing.T) {
	r, err := parse([]byte(`{"action":"add header","milter":{"add_headers":{"X-Spam":{"value":"Yes","order":0},"X-S":[{"value":"a"}]},` +
		`"remove_headers":{"X-Spam":0}},"dkim-signature":"v=1"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.scan(taskTimeout); got.Changes != 4 || got.State != event.Scanned {
		t.Errorf("%+v", got)
	}
}

// Proofs: what an Rspamd without kanmon.lua, without the settings, or that loses the envelope cannot show.
func TestProbe(t *testing.T) {
	const all = `"settings=outbound","user=kanmon-probe@kanmon.invalid","ip=192.0.2.25","from=probe@kanmon.invalid","rcpts=2"`
	reply := func(action, options string) string {
		return `{"action":"` + action + `","symbols":{"KANMON_ECHO":{"score":0,"options":[` + options + `]}}}`
	}
	for _, c := range []struct {
		name, ordinary, gtube string
		failing               []string
	}{
		{"good", reply("no action", all), reply("reject", all), nil},
		{"no kanmon.lua", noAction, reply("reject", all), []string{"User", "IP", "From", "Rcpt", "Settings-ID"}},
		{"other settings", reply("no action", strings.Replace(all, "=outbound", "=", 1)), reply("reject", all), []string{"Settings-ID"}},
		{"no user", reply("no action", strings.Replace(all, "user=kanmon-probe@kanmon.invalid", "user=", 1)), reply("reject", all), []string{"User"}},
		{"one recipient", reply("no action", strings.Replace(all, "rcpts=2", "rcpts=1", 1)), reply("reject", all), []string{"Rcpt"}},
		{"passes all", reply("no action", all), reply("no action", all), []string{"GTUBE"}},
		{"refuses all", reply("reject", all), reply("reject", all), []string{"ordinary"}},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			switch {
			case r.URL.Path == "/ping":
				_, _ = io.WriteString(w, "pong\r\n")
			case strings.Contains(string(text), "GTUBE"):
				_, _ = io.WriteString(w, c.gtube)
			default:
				_, _ = io.WriteString(w, c.ordinary)
			}
		}))
		var failing []string
		for _, p := range engine(t, Settings{Address: s.URL, SettingsID: "outbound"}).Probe(t.Context()) {
			if p.Err != nil {
				failing = append(failing, p.What)
			}
		}
		s.Close()
		ok := len(failing) == len(c.failing)
		for i := range min(len(failing), len(c.failing)) {
			ok = ok && strings.Contains(failing[i], c.failing[i])
		}
		if !ok {
			t.Errorf("%s: failing are %q, want %q", c.name, failing, c.failing)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, s := range []Settings{{Address: "rspamd:11333"}, {Address: "http://h", SettingsID: "a b"}, {Address: "http://h", SettingsID: "a\r\nb"}} {
		if _, err := New(s); err == nil {
			t.Errorf("%+v is taken", s)
		}
	}
}

// FuzzReply: whatever an Rspamd answers, a verdict has an action, and what is kept of it has bounds.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{noAction, `{"action":"reject","symbols":{"A":{"score":1,"options":["x"]}},"time_real":1}`, `{"action":"x","time_real":1e300}`, `[]`, `{"Action":"x"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parse(text)
		if err != nil {
			return
		}
		got := r.scan(taskTimeout)
		if got.Action == "" || len(got.Action) > mostName || len(got.Symbols) > event.MaxSymbols || got.State == event.ScanNot {
			t.Errorf("%q: %+v", text, got)
		}
		if got.State != event.Scanned && (got.Lack == event.LackNot || got.Why == "") {
			t.Errorf("%q: %+v", text, got)
		}
	})
}
