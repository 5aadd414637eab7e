package traffic

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Records are what was read of files of records.
type Records struct {
	Lines   int
	Torn    int // lines that are no JSON object
	Dropped int // records that gap lines speak of
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
		var dropped struct {
			Records int `json:"records"`
		}
		if json.Unmarshal(line, &dropped) != nil {
			r.Torn++
		}
		r.Dropped += dropped.Records
	case bytes.Contains(line, delivery), bytes.Contains(line, orphan):
		ledger.Recorded(tokenIn(line))
	}
}
