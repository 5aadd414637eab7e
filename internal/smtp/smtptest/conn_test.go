package smtptest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	msaAddr = netip.MustParseAddrPort("192.0.2.1:40000")
	mxAddr  = netip.MustParseAddrPort("[2001:db8::25]:25")
)

// bubble runs a test on a new pair in virtual time.
func bubble(t *testing.T, f func(t *testing.T, a, b *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := Pair(msaAddr, mxAddr)
		f(t, a, b)
	})
}

func TestConnAddresses(t *testing.T) {
	a, b := Pair(msaAddr, mxAddr)
	if a.LocalAddr().(*net.TCPAddr).AddrPort() != msaAddr || b.RemoteAddr().(*net.TCPAddr).AddrPort() != msaAddr {
		t.Errorf("a: %v, b's peer: %v, want %v", a.LocalAddr(), b.RemoteAddr(), msaAddr)
	}
	if a.RemoteAddr().String() != mxAddr.String() {
		t.Errorf("a's peer: %v, want %v", a.RemoteAddr(), mxAddr)
	}
}

func TestConnCarriesOctets(t *testing.T) {
	a, b := Pair(msaAddr, mxAddr)
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(i * i >> 3)
	}
	go func() {
		for i := 0; i < len(sent); i += 7777 {
			_, _ = a.Write(sent[i:min(i+7777, len(sent))])
		}
		_ = a.CloseWrite()
	}()
	got, err := io.ReadAll(b)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Fatalf("got %d octets, %v; want the %d that were sent", len(got), err, len(sent))
	}
	mustWrite(t, b, "back")
	wantRead(t, a, "back")
}

func TestConnReadDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		start := time.Now()
		_ = a.SetReadDeadline(start.Add(5 * time.Minute))
		for _, wait := range []func() error{a.WaitRead, func() error { _, err := a.Read(make([]byte, 1)); return err }} {
			err := wait()
			wantTimeout(t, err)
			if time.Since(start) != 5*time.Minute {
				t.Errorf("waited %v, want 5m", time.Since(start))
			}
		}
		_ = a.SetReadDeadline(time.Now().Add(time.Minute))
		go func() { time.Sleep(time.Second); mustWrite(t, b, "x") }()
		wantRead(t, a, "x")
	})
}

func TestConnDeadlineMovedWhileBlocked(t *testing.T) {
	bubble(t, func(t *testing.T, a, _ *Conn) {
		start := time.Now()
		_ = a.SetReadDeadline(start.Add(time.Second))
		go func() { _ = a.SetReadDeadline(start.Add(time.Hour)) }()
		go func() { time.Sleep(10 * time.Minute); _ = a.SetReadDeadline(time.Unix(1, 0)) }()
		wantTimeout(t, a.WaitRead())
		if time.Since(start) != 10*time.Minute {
			t.Errorf("woke after %v, want 10m", time.Since(start))
		}
	})
}

func TestConnZeroWindow(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		_ = b.SetReadBuffer(4)
		_ = a.SetWriteDeadline(time.Now().Add(3 * time.Minute))
		n, err := a.Write([]byte("123456"))
		if n != 4 {
			t.Errorf("wrote %d octets into a window of 4", n)
		}
		wantTimeout(t, err)
		_ = a.SetWriteDeadline(time.Time{})
		go func() { time.Sleep(time.Hour); wantRead(t, b, "1234"); wantRead(t, b, "5678") }()
		mustWrite(t, a, "5678")
		synctest.Wait()
	})
}

func TestConnFIN(t *testing.T) {
	a, b := Pair(msaAddr, mxAddr)
	mustWrite(t, a, "QUIT\r\n")
	_ = a.CloseWrite()
	if !b.HungUp() || b.Pending() != 6 {
		t.Errorf("HungUp %v, Pending %d; want true, 6", b.HungUp(), b.Pending())
	}
	wantRead(t, b, "QUIT\r\n")
	if err := b.WaitRead(); err != nil {
		t.Errorf("WaitRead at the end: %v, want nil", err)
	}
	wantEnd(t, b, io.EOF)
	mustWrite(t, b, "221\r\n")
	wantRead(t, a, "221\r\n")
	if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write after CloseWrite: %v, want EPIPE", err)
	}
}

func TestConnWriteAfterPeerClosed(t *testing.T) {
	a, b := Pair(msaAddr, mxAddr)
	mustWrite(t, b, "421 bye\r\n")
	_ = b.Close()
	mustWrite(t, a, "lost")
	if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("second write: %v, want EPIPE", err)
	}
	wantRead(t, a, "421 bye\r\n")
	wantEnd(t, a, io.EOF)
}

func TestConnReset(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		mustWrite(t, b, "destroyed")
		go func() { time.Sleep(time.Second); b.Reset() }()
		time.Sleep(2 * time.Second)
		if !a.HungUp() || a.Pending() != 0 {
			t.Errorf("HungUp %v, Pending %d; want true, 0", a.HungUp(), a.Pending())
		}
		wantEnd(t, a, syscall.ECONNRESET)
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v, want ECONNRESET", err)
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read at the end that reset: %v, want net.ErrClosed", err)
		}
	})
}

func TestConnCloseWithUnread(t *testing.T) {
	for _, gentle := range []bool{false, true} {
		a, b := Pair(msaAddr, mxAddr)
		want := error(syscall.ECONNRESET)
		if gentle {
			b.CloseNeverResets()
			want = io.EOF
		}
		mustWrite(t, a, "unread")
		_ = b.Close()
		wantEnd(t, a, want)
	}
}

func TestConnCloseWakes(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		_ = b.SetReadBuffer(0)
		ended := make(chan error, 3)
		go func() { ended <- a.WaitRead() }()
		go func() { _, err := a.Read(make([]byte, 1)); ended <- err }()
		go func() { _, err := a.Write([]byte("x")); ended <- err }()
		synctest.Wait()
		_ = a.Close()
		for range 3 {
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("blocked call ended with %v, want net.ErrClosed", err)
			}
		}
		if err := a.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v, want net.ErrClosed", err)
		}
	})
}

func TestConnIdleCostsLittle(t *testing.T) {
	const pairs = 10_000
	held := make([]*Conn, 0, 2*pairs)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range pairs {
		a, b := Pair(msaAddr, mxAddr)
		mustWrite(t, a, "EHLO\r\n")
		wantRead(t, b, "EHLO\r\n")
		held = append(held, a, b)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int(after.HeapAlloc) - int(before.HeapAlloc)) / pairs
	t.Logf("%d octets of heap a pair", each)
	if each > 1024 {
		t.Errorf("an idle pair holds %d octets of heap, want at most 1024", each)
	}
	runtime.KeepAlive(held)
}

func mustWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := io.WriteString(c, text); n != len(text) || err != nil {
		t.Errorf("write %q: %d, %v", text, n, err)
	}
}

func wantRead(t *testing.T, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Errorf("read %q, %v; want %q", got, err, text)
	}
}

// wantEnd checks that nothing is left to read and how it ends.
func wantEnd(t *testing.T, c net.Conn, want error) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, want) {
		t.Errorf("read %d octets, %v; want 0, %v", n, err, want)
	}
}

func wantTimeout(t *testing.T, err error) {
	t.Helper()
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestBufferKeepsOctets(t *testing.T) {
	var b buffer
	var sent, got bytes.Buffer
	next := byte(0)
	for i := range 2000 {
		p := make([]byte, i*37%9000)
		for j := range p {
			p[j] = next
			next++
		}
		n := b.push(p, 100<<10)
		next -= byte(len(p) - n)
		sent.Write(p[:n])
		out := make([]byte, i*53%9001)
		got.Write(out[:b.pop(out)])
	}
	out := make([]byte, b.len())
	got.Write(out[:b.pop(out)])
	if !bytes.Equal(sent.Bytes(), got.Bytes()) || b.mem != nil {
		t.Errorf("sent %d octets, got %d; memory kept: %v", sent.Len(), got.Len(), b.mem != nil)
	}
}

func TestConnPastDeadlineInRealTime(t *testing.T) {
	a, b := Pair(msaAddr, mxAddr)
	mustWrite(t, b, "x")
	_ = a.SetDeadline(time.Now().Add(-time.Second))
	_, err := a.Read(make([]byte, 1))
	wantTimeout(t, err)
	_, err = a.Write([]byte("x"))
	wantTimeout(t, err)
	_ = a.SetDeadline(time.Now().Add(20 * time.Millisecond))
	wantRead(t, a, "x")
	wantTimeout(t, a.WaitRead())
	_ = a.SetDeadline(time.Time{})
	mustWrite(t, a, "x")
}

func TestConnDoesNotAllocate(t *testing.T) {
	a, b := Pair(msaAddr, mxAddr)
	line, p := []byte("RCPT TO:<b@example.net>\r\n"), make([]byte, 100)
	allocs := testing.AllocsPerRun(1000, func() {
		_ = b.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = a.Write(line)
		_, _ = b.Read(p)
	})
	if allocs >= 1 { // the pool may be emptied by a garbage collection
		t.Errorf("a line costs %v allocations, want none", allocs)
	}
}
