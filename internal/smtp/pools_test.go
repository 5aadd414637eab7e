package smtp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// onlyConn hides that a connection is TCP: the path that TLS takes.
type onlyConn struct{ net.Conn }

// Many Readers share the pools; each must give exactly its own octets, whatever Park, BodyMode and deadlines do between.
func TestReaderKeepsItsOctets(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 12 {
		wg.Go(func() {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
			rnd := rand.New(rand.NewPCG(uint64(g), 7))
			sent := make([]byte, 600_000)
			for i := range sent {
				sent[i] = byte(g*16) ^ byte(i>>3) ^ byte(i)
			}
			go func() {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return
				}
				defer c.Close()
				w := rand.New(rand.NewPCG(uint64(g), 9))
				for p := sent; len(p) > 0; {
					n := min(len(p), 1+w.IntN(9000))
					_, _ = c.Write(p[:n])
					p = p[n:]
					if w.IntN(4) == 0 {
						time.Sleep(time.Duration(w.IntN(3)) * time.Millisecond)
					}
				}
			}()
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if g%3 == 0 {
				c = onlyConn{c}
			}
			r := NewReader(c)
			var got bytes.Buffer
			for {
				r.BodyMode(rnd.IntN(2) == 0)
				if rnd.IntN(2) == 0 {
					r.Park()
				}
				_ = c.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(2000)) * time.Microsecond))
				err := r.Fill()
				if errors.Is(err, io.EOF) {
					got.Write(r.Buffered())
					break
				}
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, ErrBufferFull) {
					t.Errorf("%d: %v", g, err)
					return
				}
				n := rnd.IntN(len(r.Buffered()) + 1)
				if errors.Is(err, ErrBufferFull) || rnd.IntN(3) == 0 {
					n = len(r.Buffered())
				}
				piece := r.Buffered()[:n]
				r.Discard(n)
				got.Write(piece) // between Discard and the next Fill it must still stand
			}
			if !bytes.Equal(got.Bytes(), sent) {
				t.Errorf("%d: got %d octets, not those that were sent", g, got.Len())
			}
			r.Close()
		})
	}
	wg.Wait()
}
