package load

import (
	"bytes"
	"fmt"
	"time"

	"kanmon/test/bench/mx"
)

// replies counts the replies in a stream of octets without keeping them.
type replies struct {
	head [4]byte // the first octets of the line that is being read
	col  int     // octets of it read so far
	sent time.Duration
}

// read takes the next octets and says how many replies ended in them. A reply outside 2xx and 3xx is an error.
func (r *replies) read(in []byte) (int, error) {
	n := 0
	for len(in) > 0 {
		end := bytes.IndexByte(in, '\n')
		part := in
		if end >= 0 {
			part = in[:end+1]
		}
		for i := 0; r.col < len(r.head) && i < len(part); i++ {
			r.head[r.col] = part[i]
			r.col++
		}
		if end < 0 {
			return n, nil
		}
		in = in[end+1:]
		if r.head[0] != '2' && r.head[0] != '3' {
			return n, fmt.Errorf("reply %q", bytes.TrimSpace(part))
		}
		if r.col == len(r.head) && r.head[3] == ' ' {
			n++
			r.sent = mx.Stamp(part)
		}
		r.col = 0
	}
	return n, nil
}
