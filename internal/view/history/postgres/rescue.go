package postgres

import (
	"encoding/binary"

	"kanmon/internal/event"
)

// A rescue is told of before the attempt that it is of.
type rescue struct {
	session event.ID
	number  int
}

type rescueState int

const (
	rescueKnown rescueState = iota
	rescueNew
	rescueOver // the attempt has come
)

// rescues gives those that attempts of some lines may be of.
func (w *writing) rescues(rows []row) (map[rescue]rescueState, error) {
	var sessions []int64
	for i := range rows {
		if r := &rows[i]; r.attempt != nil && r.fresh {
			sessions = append(sessions, int64(r.entry.Session)) //nolint:gosec // all bits stay
		}
	}
	all := map[rescue]rescueState{}
	if len(sessions) == 0 {
		return all, nil
	}
	err := each(w.ctx, w.tx, "SELECT session, number FROM rescued WHERE session = ANY($1)", func(scan func(...any) error) error {
		var session int64
		var of rescue
		err := scan(&session, &of.number)
		of.session = event.ID(session) //nolint:gosec // as it was written
		all[of] = rescueKnown
		return err
	}, sessions)
	return all, err
}

// mostRescued is of how many rescues the attempt is waited for.
const mostRescued = 500_000

// flushRescues writes those whose attempts have not come, and forgets the others.
func (w *writing) flushRescues(all map[rescue]rescueState) error {
	type row struct {
		Session int64 `json:"session"`
		Number  int   `json:"number"`
	}
	var fresh, over []row
	for of, state := range all {
		switch one := (row{int64(of.session), of.number}); state { //nolint:gosec // all bits stay
		case rescueNew:
			fresh = append(fresh, one)
		case rescueOver:
			over = append(over, one)
		}
	}
	if err := w.put(`INSERT INTO rescued SELECT session, number, current_date FROM json_populate_recordset(null::rescued, $1)
		WHERE (SELECT count(*) FROM (SELECT 1 FROM rescued LIMIT $2) n) < $2 ON CONFLICT DO NOTHING`, fresh, mostRescued); err != nil {
		return err
	}
	return w.put("DELETE FROM rescued WHERE (session, number) IN (SELECT session, number FROM json_populate_recordset(null::rescued, $1))", over)
}

// binaryOf are the octets of a number.
func binaryOf(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // all bits stay
