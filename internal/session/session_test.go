package session_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

var (
	msaAddr = netip.MustParseAddrPort("10.20.1.5:40000")
	mxAddr  = netip.MustParseAddrPort("192.0.2.25:25")
	ownIP   = netip.MustParseAddr("203.0.113.10")
)

// dialOnce hands out one connection.
func dialOnce(conn net.Conn) dialFunc {
	return func(context.Context, session.DialRequest) (session.Outbound, error) {
		return session.Outbound{Conn: conn, SendingIP: ownIP, Name: "out10.example.jp"}, nil
	}
}

func TestDialogues(t *testing.T) {
	runDialogues(t, "testdata/dialogues", func(played, *testEngine) {})
}

// A judge, a mover and a gate that have nothing against anything change no octet.
func TestDialoguesWithEverybodyAsked(t *testing.T) { runDialogues(t, "testdata/dialogues", played.all) }

func TestDialoguesObserveMode(t *testing.T) {
	runDialogues(t, "testdata/observe", func(_ played, e *testEngine) {
		dial := e.Dialer
		e.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			out, err := dial.Dial(ctx, r)
			out.SendingIP, out.Name = netip.Addr{}, ""
			return out, err
		})
	})
}

func TestDialoguesWithTLSRequired(t *testing.T) {
	runDialogues(t, "testdata/requiretls", func(p played, e *testEngine) {
		p.all(e)
		e.Destination = func(netip.Addr) session.Destination { return session.Destination{TLS: session.TLSRequire} }
	})
}

func TestDialoguesWithUnreachableMXsTold(t *testing.T) {
	runDialogues(t, "testdata/unreachable421", func(_ played, e *testEngine) {
		e.Unreachable = func(session.Origin) session.Unreachable { return session.UnreachableReply }
	})
}

func TestDialoguesWithTLSTowardTheMSA(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	runDialogues(t, "testdata/msatls", func(_ played, e *testEngine) {
		e.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
	})
}

// runDialogues runs each script of a folder as a subtest.
func runDialogues(t *testing.T, folder string, set func(played, *testEngine)) {
	files, err := filepath.Glob(folder + "/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			smtptest.RunDialogue(t, file, checkWord, func(d *smtptest.Dialogue) {
				p := played{d}
				e := testEngine{Engine: session.Engine{Observe: true, Live: new(session.Live), TLSToMX: session.ClientTLS(), Log: slog.New(slog.DiscardHandler)}}
				e.leaves(p)
				set(p, &e)
				e.Serve(d.MSA, session.Origin{Source: msaAddr, Destination: mxAddr})
			})
		})
	}
}
