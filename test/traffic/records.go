package traffic

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"kanmon/internal/event"
)

// Records are what was read of files of records.
type Records struct {
	Lines   int
	Torn    int            // lines that are no JSON object
	Dropped map[string]int // records that gap lines speak of, by tenant, or source; "" is nobody's
}

// AllDropped is how many records gap lines speak of.
func (r *Records) AllDropped() (n int) {
	for _, of := range r.Dropped {
		n += of
	}
	return n
}

// DroppedOf is how many of tenants gap lines speak of. Only these can be records of the tenants' mail: what others write too much of, they lose
// themselves.
func (r *Records) DroppedOf(tenants ...string) (n int) {
	for _, tenant := range tenants {
		n += r.Dropped[tenant]
	}
	return n
}

// ReadRecords reads a file of JSON lines and tells the ledger of each delivery on it. Lines are checked and not decoded: a flood writes
// hundreds of megabytes of them.
func (r *Records) ReadRecords(file string, ledger *Ledger) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line, ledger)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
	}
}

var (
	delivery = []byte(`"outcome":"delivered"`)
	orphan   = []byte(`"outcome":"orphan_ack"`)
	gap      = []byte(`"type":"dropped"`)
	object   = []byte(`{"type":"`)
)

func (r *Records) line(line []byte, ledger *Ledger) {
	r.Lines++
	if !bytes.HasPrefix(line, object) || !json.Valid(line) {
		r.Torn++
		return
	}
	switch {
	case bytes.Contains(line, gap):
		dropped, err := event.ParseEntry(line)
		if err != nil {
			r.Torn++
			return
		}
		if r.Dropped == nil {
			r.Dropped = make(map[string]int)
		}
		r.Dropped[cmp.Or(dropped.Tenant, dropped.Source)] += int(dropped.Records)
	case bytes.Contains(line, delivery), bytes.Contains(line, orphan):
		ledger.Recorded(tokenIn(line))
	}
}
