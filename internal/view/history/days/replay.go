package days

import (
	"errors"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// replay does again what a day's attempts did to the main file.
func (j *joining) replay(v *volume) error {
	if err := j.expire(v.day.begin()); err != nil {
		return err
	}
	if err := j.replayShapes(v); err != nil || v.level == counts {
		return err
	}
	reads, last := v.reader(), id(-1)
	for {
		var hits []hit
		err := each(j.ctx, v.f, "SELECT "+hitColumns+` FROM day_trouble t CROSS JOIN day_line l ON l.id = t.id
			WHERE t.n = 0 AND t.kind = 1 AND t.id > ? ORDER BY t.id LIMIT ?`, func(scan func(...any) error) error {
			var h hit
			err := scan(&h.id, &h.place, &h.flags, &h.mail)
			hits = append(hits, h)
			return err
		}, last, chunk)
		if err != nil || len(hits) == 0 {
			return err
		}
		for _, h := range hits {
			last = h.id
			f, err := reads.attempt(j.ctx, h)
			if errors.Is(err, errPlace) {
				continue
			}
			if err != nil {
				return err
			}
			k := index.KeysOf(&f.Attempt)
			was, err := j.Waiting(f.mail)
			if err != nil {
				return err
			}
			if err := index.Settle(j, f.mail, &f.Attempt, &k, was); err != nil {
				return err
			}
		}
	}
}

func (j *joining) replayShapes(v *volume) error {
	var all []firstSeen
	err := each(j.ctx, v.f, `SELECT (SELECT text FROM day_name WHERE id = s.class), (SELECT text FROM day_name WHERE id = s.rule), (SELECT text FROM day_name WHERE id = s.shape),
		s.first, coalesce(r.gateway, ''), coalesce(r.run, ''), coalesce(l.line, 0)
		FROM (SELECT class, rule, shape, first,
			(SELECT min(t.id) FROM day_trouble t WHERE t.shape = o.shape AND t.class = o.class AND t.rule = o.rule) AS line_id FROM day_refusal o WHERE per = 0) s
		LEFT JOIN day_line l ON l.id = s.line_id LEFT JOIN day_run r ON r.id = l.run`, func(scan func(...any) error) error {
		var s firstSeen
		var line int64
		err := scan(&s.Class, &s.Rule, &s.Shape, &s.First, &s.Gateway, &s.Run, &line)
		s.Hash, s.Last, s.Line = index.Hash('S', s.Class, s.Rule, s.Shape), int64(v.day), uint64(line) //nolint:gosec // as it was written
		all = append(all, s)
		return err
	})
	for i := range all {
		err = errors.Join(err, j.first(&all[i]))
	}
	return err
}

// expire forgets mail that nobody waits for any more when a day begins.
func (j *joining) expire(begin time.Time) error {
	o := owed{Expire: begin.Add(-history.Keeps - aDay).UnixMilli()}
	j.owed.Expire = o.Expire
	j.keys = nil // read anew by who begins next
	return j.apply(&o)
}
