package milter

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Bounds of what a filter sends.
const (
	mostFrame   = 1 << 20  // of a change, which is dropped
	mostAnswer  = 64 << 10 // of any other frame, which is kept
	mostAnswers = 1 << 20  // all of a conversation, beside the message's size: a filter may send it back as a new body
)

// A wire is a connection to a filter. It hands frames on to whoever reads when they are whole and may be; what would change the message it
// counts, and that the filter is still busy it drops: how long a filter may be busy is not for it to say. Deadlines are its maker's, who
// closes the connection.
type wire struct {
	net.Conn
	stop func() bool
	in   *bufio.Reader
	out  *bufio.Writer
	left int64  // octets that the filter may still send
	rest []byte // of a frame that is being read
	head [5]byte
	lost bool // the next frame that is written is an empty part of a body: see empty
	said bool // the library waits for an answer to it

	changes    int
	quarantine bool
}

func newWire(conn net.Conn, stop func() bool, answers int64) *wire {
	return &wire{Conn: conn, stop: stop, in: bufio.NewReaderSize(conn, 2<<10), out: bufio.NewWriterSize(conn, 8<<10), left: answers}
}

// empty has the next frame, an empty part of a body, not be sent. The library needs one behind a message without a body; filters of libmilter
// hang up at it. An answer that the library waits for is made here.
func (w *wire) empty(answered bool) { w.lost, w.said = true, answered }

// Write keeps frames together until an answer is waited for.
func (w *wire) Write(p []byte) (int, error) {
	if w.lost {
		w.lost = false
		if w.said {
			w.rest = []byte{0, 0, 0, 1, 'c'} // SMFIR_CONTINUE
		}
		return len(p), nil
	}
	return w.out.Write(p)
}

// Read reads whole frames that may be, one after the other.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		if err := w.out.Flush(); err != nil {
			return 0, err
		}
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// next reads a frame: a length of four octets, a command of one, and data.
func (w *wire) next() error {
	head := &w.head
	if _, err := io.ReadFull(w.in, head[:4]); err != nil {
		return err
	}
	length := int64(binary.BigEndian.Uint32(head[:4]))
	if w.left -= 4 + length; w.left < 0 {
		return fmt.Errorf("it sends more than it may")
	}
	if length == 0 || length > mostFrame {
		return fmt.Errorf("it sends a frame of %d octets", length)
	}
	if _, err := io.ReadFull(w.in, head[4:]); err != nil {
		return fmt.Errorf("it sends half a frame: %w", err)
	}
	if w.isDropped(head[4]) {
		_, err := w.in.Discard(int(length - 1))
		return err
	}
	if length > mostAnswer {
		return fmt.Errorf("it sends an answer %q of %d octets", head[4], length)
	}
	frame := make([]byte, 4+length)
	copy(frame, head[:])
	if _, err := io.ReadFull(w.in, frame[5:]); err != nil {
		return fmt.Errorf("it sends half a frame: %w", err)
	}
	w.rest = frame
	return nil
}

// isDropped reports whether frames of a command are not handed on, and counts those that would change the message.
func (w *wire) isDropped(command byte) bool {
	switch command {
	case 'p': // SMFIR_PROGRESS
		return true
	case 'q': // SMFIR_QUARANTINE: it changes nothing, but says something
		w.quarantine = true
		return true
	case '+', '-', '2', 'b', 'e', 'h', 'i', 'm': // SMFIR_ADDRCPT, DELRCPT, ADDRCPT_PAR, REPLBODY, CHGFROM, ADDHEADER, INSHEADER, CHGHEADER
		w.changes++
		return true
	}
	return false
}

// Close sends what is kept, and closes the connection.
func (w *wire) Close() error {
	_ = w.out.Flush()
	return w.Conn.Close()
}

// SetDeadline does nothing, nor do the others: the library clears them at every read.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
