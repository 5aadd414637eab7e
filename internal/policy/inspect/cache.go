package inspect

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/share"
)

// Bounds of the verdicts that are kept.
const (
	mostVerdicts = 1 << 14
	verdictTime  = 15 * time.Minute
)

// A cache keeps what scanners have said of a message, so that the next try of it, or its copies in a list's other sessions, cost nothing and
// hear the same. It knows a message by a keyed hash, which nobody outside can make and which is not written anywhere. Only verdicts that
// hold are kept: that a scanner has failed, or asks to come again later, is not said of the next try.
type cache struct {
	key [32]byte

	mu      sync.Mutex
	known   *share.Map[digest, kept]
	flights map[digest]*flight
}

type digest [sha256.Size]byte

type kept struct {
	tenant, account string
	until           time.Time
	scans           []event.Scan
}

// A flight is a message that is being scanned: copies of it that come meanwhile wait for it.
type flight struct {
	done  chan struct{}
	scans []event.Scan // nil: whoever scanned it has given up
	stale bool         // its account's verdicts were forgotten meanwhile
	of    kept
}

func newCache() *cache {
	c := &cache{flights: map[digest]*flight{}}
	_, _ = rand.Read(c.key[:]) // it never fails
	return c
}

// get gives what is known of a message, or has it scanned.
func (c *cache) get(ctx context.Context, now func() time.Time, m *Mail, scanners []*scanner, scan func() []event.Scan) []event.Scan {
	key, err := c.digest(m, scanners)
	if err != nil {
		return fillAll(scanners, Failed(event.LackUnavailable, "read the message: %v", err))
	}
	for {
		scans, f, mine := c.begin(key, m, now())
		switch {
		case scans != nil:
			return scans
		case mine:
			return c.fly(ctx, key, f, now, scan)
		}
		select {
		case <-f.done:
			if f.scans != nil {
				return again(f.scans)
			}
		case <-ctx.Done():
			return fillAll(scanners, Failed(event.LackUnavailable, "nothing said in time: %v", ctx.Err()))
		}
	}
}

// begin gives what is known, or who scans the message: the caller, if mine.
func (c *cache) begin(key digest, m *Mail, now time.Time) (scans []event.Scan, f *flight, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, is := c.known.Get(key); is && now.Before(k.until) {
		return again(k.scans), nil, false
	}
	if f = c.flights[key]; f != nil && !f.stale {
		return nil, f, false
	}
	f = &flight{done: make(chan struct{}), of: kept{tenant: m.Tenant, account: m.Account}}
	c.flights[key] = f
	return nil, f, true
}

// fly has a message scanned, for all that wait for it.
func (c *cache) fly(ctx context.Context, key digest, f *flight, now func() time.Time, scan func() []event.Scan) (scans []event.Scan) {
	defer func() { // also if the scan panics
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.flights[key] == f {
			delete(c.flights, key)
		}
		if ctx.Err() == nil {
			f.scans = scans
		}
		if holds(scans) && !f.stale {
			f.of.scans, f.of.until = scans, now().Add(verdictTime)
			if c.known == nil {
				c.known = share.NewMap[digest, kept](mostVerdicts).Until(func(k kept) bool { return !now().Before(k.until) })
			}
			c.known.Put(key, f.of, f.of.tenant)
		}
		close(f.done)
	}()
	return scan()
}

// again is what was said before, of one more copy.
func again(scans []event.Scan) []event.Scan {
	scans = slices.Clone(scans)
	for i := range scans {
		scans[i].Cached, scans[i].Took = true, 0
	}
	return scans
}

// holds reports whether all have given a verdict that is the same in a quarter of an hour.
func holds(scans []event.Scan) bool {
	return len(scans) > 0 && !slices.ContainsFunc(scans, func(s event.Scan) bool {
		return s.State != event.Scanned || s.Action == ActionSoftReject || s.Action == ActionGreylist || s.Code/100 == 4
	})
}

// forget forgets an account's verdicts; of no account all of the tenant's.
func (c *cache) forget(tenant, account string) {
	isMeant := func(k *kept) bool { return k.tenant == tenant && (account == "" || k.account == account) }
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, k := range c.known.All() {
		if isMeant(&k) {
			c.known.Delete(key)
		}
	}
	for _, f := range c.flights {
		if isMeant(&f.of) {
			f.stale = true
		}
	}
}

// digest is what a message is known by: its octets, without the fields that each try has anew, whose it is, and who is asked about it.
func (c *cache) digest(m *Mail, scanners []*scanner) (d digest, err error) {
	sum := hmac.New(sha256.New, c.key[:])
	for _, part := range []string{m.Tenant, m.Account} {
		writePart(sum, part)
	}
	for _, s := range scanners {
		writePart(sum, s.Name)
	}
	_, _ = sum.Write([]byte{0})
	err = writeMessage(sum, m.Open())
	sum.Sum(d[:0])
	return d, err
}

func writePart(sum hash.Hash, part string) {
	_, _ = sum.Write([]byte{1})
	_, _ = sum.Write([]byte(strings.ReplaceAll(part, "\x00", "\x00\x00")))
	_, _ = sum.Write([]byte{0})
}

// longestTrace is the longest field that is left out. What is more has something to say.
const longestTrace = 1000

// writeMessage writes a message without its fields Received and Date.
func writeMessage(sum hash.Hash, message io.Reader) error {
	in := bufio.NewReaderSize(message, 4096)
	var field []byte // a trace field, as far as it has come
	for {
		line, err := in.ReadSlice('\n')
		if isFolded := len(line) > 0 && (line[0] == ' ' || line[0] == '\t'); field == nil || !isFolded {
			if len(field) > longestTrace {
				_, _ = sum.Write(field)
			}
			field = nil
			if isTrace(line) {
				field = []byte{}
			}
		}
		if field != nil && len(field) <= longestTrace && !hides(line) {
			field = append(field, line...)
		} else {
			_, _ = sum.Write(field)
			_, _ = sum.Write(line)
			field = nil
		}
		isEnd := len(bytes.TrimRight(line, "\r\n")) == 0
		switch {
		case errors.Is(err, io.EOF):
			if len(field) > longestTrace {
				_, _ = sum.Write(field)
			}
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		case isEnd, err != nil: // the body, or a line that is no field's
			if field != nil {
				_, _ = sum.Write(field)
			}
			_, err = io.Copy(sum, in)
			return err
		}
	}
}

// hides reports whether somebody else may read in a line of a field that the field ends there, or in the middle of it: then what comes is text.
func hides(line []byte) bool {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
	return len(bytes.TrimSpace(line)) == 0 || bytes.ContainsAny(line, "\r\x00")
}

func isTrace(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return false
	}
	name = bytes.TrimRight(name, " \t")
	return bytes.EqualFold(name, []byte("Received")) || bytes.EqualFold(name, []byte("Date"))
}
