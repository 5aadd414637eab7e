package smtp_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"kanmon/internal/smtp"
	"kanmon/internal/smtp/smtptest"
)

// What comes through TLS comes whole, in whatever pieces and with whatever deadlines between them, and a Reader that waits for more of it holds no
// buffer.
func TestALayerIsReadWithoutHoldingABufferMeanwhile(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(rnd.Uint32())
	}
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	go func() {
		far, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.WriteString(far, "220 go\r\n"); err != nil {
			t.Error(err)
			return
		}
		server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}})
		defer server.Close()
		w := rand.New(rand.NewPCG(3, 4))
		for p := sent; len(p) > 0; {
			n := min(len(p), 1+w.IntN(20_000))
			if _, err := server.Write(p[:n]); err != nil {
				t.Error(err)
				return
			}
			if p = p[n:]; w.IntN(4) == 0 {
				time.Sleep(time.Duration(w.IntN(3)) * time.Millisecond)
			}
		}
	}()
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	inClear := smtp.NewReader(near)
	var reply smtp.Reply
	for whole := false; !whole; {
		if err := inClear.Fill(); err != nil {
			t.Fatal(err)
		}
		if whole, err = inClear.Reply(&reply); err != nil {
			t.Fatal(err)
		}
	}
	under := smtp.Below(near)
	layer := tls.Client(under, &tls.Config{InsecureSkipVerify: true})
	if err := layer.Handshake(); err != nil {
		t.Fatal(err)
	}
	r := inClear.Over(layer, under)
	defer r.Close()
	var got bytes.Buffer
	for err := error(nil); !errors.Is(err, io.EOF); {
		_ = near.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(1000)) * time.Microsecond))
		if err = r.Fill(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && rnd.IntN(2) == 0 {
			if r.WaitsLong(); r.Empty() && r.Holds() {
				t.Fatal("a buffer is held in a long wait")
			}
		}
		got.Write(r.Buffered())
		r.Discard(len(r.Buffered()))
	}
	if want := int64(len("220 go\r\n") + len(sent)); r.Total() != want {
		t.Errorf("%d octets read, in clear and inside, not %d", r.Total(), want)
	}
	if !bytes.Equal(got.Bytes(), sent) {
		t.Errorf("got %d octets, not the %d that were sent", got.Len(), len(sent))
	}
}
