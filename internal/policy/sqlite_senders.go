package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"kanmon/internal/policy/contain"
)

// A senderRow is a row of a sender as the file has it.
type senderRow struct{ state, history []byte }

// rowsAtOnce are handed on together.
const rowsAtOnce = 256

// senders reads the rows of all senders, of which there are about so many, and has them understood meanwhile: they are
// nearly all of a state, and a start waits for them.
func (s *SQLite) senders(ctx context.Context, about int) ([]contain.Saved, error) {
	read, done := make(chan []senderRow, 4), make(chan error)
	all := make([]contain.Saved, 0, about)
	go func() {
		var err error
		for some := range read {
			for i := 0; i < len(some) && err == nil; i++ {
				one := contain.Saved{}
				err = json.Unmarshal(some[i].state, &one)
				if len(some[i].history) > 0 { // else it may stand in the text, as it did
					one.History = some[i].history
				}
				all = append(all, one)
			}
		}
		done <- err
	}()
	var some []senderRow
	err := s.each(ctx, "SELECT state, history FROM policy_sender ORDER BY id", func(rows *sql.Rows) error {
		var state, history sql.RawBytes // which are the rows'
		if err := rows.Scan(&state, &history); err != nil {
			return err
		}
		if some = append(some, senderRow{slices.Clone(state), slices.Clone(history)}); len(some) == rowsAtOnce {
			read <- some
			some = make([]senderRow, 0, rowsAtOnce)
		}
		return nil
	})
	read <- some
	close(read)
	return all, errors.Join(err, <-done)
}
