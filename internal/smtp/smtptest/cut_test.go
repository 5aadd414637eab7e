package smtptest

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const command = "MAIL FROM:<a@example.com>\r\n"

func TestCutWriteAfterEveryOctet(t *testing.T) {
	for n := range len(command) + 1 {
		for _, how := range []Cut{FIN, RST, Stall} {
			bubble(t, func(t *testing.T, a, b *Conn) {
				a.CutWriteAfter(n, how)
				if n == 0 {
					_, _ = a.Write([]byte(command)) // the cut has happened: how this ends is TestCutErrors' affair
				} else {
					mustWrite(t, a, command)
				}
				wantRead(t, b, command[:n])
				wantCut(t, b, how)
				wantCut(t, a, how)
			})
		}
	}
}

func TestCutReadAfterEveryOctet(t *testing.T) {
	for n := range len(command) + 1 {
		for _, how := range []Cut{FIN, RST, Stall} {
			for _, closed := range []bool{false, true} {
				bubble(t, func(t *testing.T, a, b *Conn) {
					b.CutReadAfter(n, how)
					if n > 0 {
						mustWrite(t, a, command)
					}
					if closed {
						_ = a.CloseWrite()
					}
					if n > 0 && (b.Pending() != n || b.HungUp()) {
						t.Errorf("Pending %d, HungUp %v; want %d, false", b.Pending(), b.HungUp(), n)
					}
					wantRead(t, b, command[:n])
					if closed && n == 0 && how == Stall {
						return // a FIN after the stall: nothing to see
					}
					wantCut(t, b, how)
				})
			}
		}
	}
}

func TestCutErrors(t *testing.T) {
	for how, want := range map[Cut]error{FIN: syscall.EPIPE, RST: syscall.ECONNRESET} {
		a, b := Pair(msaAddr, mxAddr)
		a.CutWriteAfter(1, how)
		mustWrite(t, a, "12")
		if how == FIN {
			mustWrite(t, a, "3")
		}
		if _, err := a.Write([]byte("4")); !errors.Is(err, want) {
			t.Errorf("%v: write after the cut: %v, want %v", how, err, want)
		}
		wantRead(t, b, "1")
	}
}

func TestStall(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		_ = b.SetReadBuffer(10)
		mustWrite(t, a, "kept")
		b.Stall()
		mustWrite(t, a, "gone")
		_ = a.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := a.Write([]byte("gone"))
		if n != 2 {
			t.Errorf("the window of 10 took %d more octets, want 2", n)
		}
		wantTimeout(t, err)
		_ = a.Close()
		wantRead(t, b, "kept")
		wantCut(t, b, Stall)
	})
}

func TestChunkAndRecord(t *testing.T) {
	a, b := Pair(msaAddr, mxAddr)
	b.Record()
	b.Chunk(1, 3)
	mustWrite(t, a, "0123456789")
	_ = a.Close()
	var sizes []int
	p := make([]byte, 64)
	for {
		n, err := b.Read(p)
		if err != nil {
			break
		}
		sizes = append(sizes, n)
	}
	if fmt.Sprint(sizes) != "[1 3 1 3 1 1]" || string(b.Record()) != "0123456789" {
		t.Errorf("chunks %v, record %q", sizes, b.Record())
	}
}

// wantCut checks how an end sees the cut. It must run in a bubble.
func wantCut(t *testing.T, c *Conn, how Cut) {
	t.Helper()
	if c.HungUp() != (how != Stall) {
		t.Errorf("%v: HungUp is %v", how, c.HungUp())
	}
	switch how {
	case FIN:
		wantEnd(t, c, io.EOF)
	case RST:
		wantEnd(t, c, syscall.ECONNRESET)
	case Stall:
		_ = c.SetReadDeadline(time.Now().Add(time.Hour))
		_, err := c.Read(make([]byte, 1))
		wantTimeout(t, err)
	}
	synctest.Wait()
}

// A half-close ends one direction, and the other goes on; what a look at the connection says tells it from a reset.
func TestShut(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		a.CutWriteAfter(4, Shut)
		mustWrite(t, a, command)
		time.Sleep(time.Second)
		if !b.HungUp() || b.Broken() || b.Quiet() != time.Second {
			t.Errorf("hung up %t, broken %t, quiet for %s", b.HungUp(), b.Broken(), b.Quiet())
		}
		wantRead(t, b, command[:4])
		if n, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("behind the octets: %d, %v", n, err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a write behind the half-close: %v", err)
		}
		mustWrite(t, b, command)
		wantRead(t, a, command)
		_ = a.Close()
		mustWrite(t, b, command) // and this is answered with a RST
		if !b.Broken() {
			t.Error("octets to a closed end broke nothing")
		}
	})
}

func TestRoom(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		for _, octets := range []int{0, 1000} { // what is written below needs room
			if _ = b.SetReadBuffer(octets); a.Room() != (octets > 0) {
				t.Errorf("a window of %d: room %t", octets, a.Room())
			}
		}
		mustWrite(t, a, command)
		if _ = b.SetReadBuffer(len(command)); a.Room() {
			t.Error("room in a window that is full")
		}
	})
}
