package postgres

import (
	"cmp"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Refusals are added up by hour, meaning and shape, and by whose they were.
type refusedKey struct {
	Day      day    `json:"day"`
	At       int64  `json:"at"` // hour
	Shape    int64  `json:"shape"`
	Tenant   string `json:"tenant"`
	Gateway  string `json:"gateway"`
	Provider string `json:"provider"`
	IP       string `json:"ip"`
	Outcome  string `json:"outcome"`
}

type refusedSum struct {
	Count int64 `json:"count"`
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

type shapeRow struct {
	Hash    int64  `json:"hash"`
	Class   string `json:"class"`
	Rule    string `json:"rule"`
	Shape   string `json:"shape"`
	First   int64  `json:"first"`
	Gateway string `json:"gateway"`
	Run     string `json:"run"`
	Line    int64  `json:"line"`
	Last    int64  `json:"last"`
}

// shapesOf are the shapes that a day tells apart, as far as this process knows.
type shapesOf struct {
	known map[int64]bool
	by    map[string]int // tenant
}

const (
	// mostShapes is how many a day tells apart of each process that writes: a stranger who never says the same twice costs no more. Of these, who has as
	// many as are left gets no more.
	mostShapes = 20_000
	otherShape = "(other)"

	mostShapeDays = 3 // remembered
)

// shapesOn gives the shapes of a day.
func (s *Store) shapesOn(w *writing, d day) (*shapesOf, error) {
	if of := s.shapes[d]; of != nil {
		return of, nil
	}
	if len(s.shapes) >= mostShapeDays {
		clear(s.shapes)
	}
	of := &shapesOf{map[int64]bool{}, map[string]int{}}
	err := each(w.ctx, w.tx, "SELECT DISTINCT shape, tenant FROM refused WHERE day = $1 LIMIT $2", func(scan func(...any) error) error {
		var hash int64
		var tenant string
		err := scan(&hash, &tenant)
		of.known[hash] = true
		of.by[tenant]++
		return err
	}, d.begin(), 4*mostShapes)
	if err == nil {
		s.shapes[d] = of
	}
	return of, err
}

// refused adds up the refusals of a line.
func (s *Store) refused(w *writing, r *row) error {
	for i := range r.refusals {
		of := &r.refusals[i]
		if of.Code == 0 || of.Local {
			continue
		}
		known, err := s.shapesOn(w, r.day)
		if err != nil {
			return err
		}
		hash := hashOfShape(of.Class, of.Rule, of.Shape)
		if !known.known[hash] {
			if known.by[r.tenant] >= mostShapes-len(known.known) {
				of.Shape = otherShape
				hash = hashOfShape(of.Class, of.Rule, of.Shape)
			} else {
				known.by[r.tenant]++
				known.known[hash] = true
			}
		}
		w.refuse(r, of, hash)
	}
	return nil
}

func (s *sums) refuse(r *row, of *history.Refusal, hash int64) {
	const anHour = 3_600_000
	key := refusedKey{r.day, (r.at - r.day.begin().UnixMilli()) / anHour, hash, r.tenant, r.run.gateway, r.provider, r.ip, r.outcome}
	sum := s.refusals[key]
	if sum == nil {
		sum = &refusedSum{0, r.at, r.at}
		s.refusals[key] = sum
	}
	sum.Count, sum.First, sum.Last = sum.Count+1, min(sum.First, r.at), max(sum.Last, r.at)
	s.saw(r.entry, of, hash, r.at)
}

// saw notes when a shape was first seen, and last.
func (s *sums) saw(e *event.Entry, of *history.Refusal, hash, at int64) {
	one := s.shapes[hash]
	if one == nil || at < one.First {
		last := at
		if one != nil {
			last = one.Last
		}
		s.shapes[hash] = &shapeRow{hash, name(of.Class), name(of.Rule), name(of.Shape), at, name(e.Gateway), name(e.Run), int64(e.Line), last} //nolint:gosec // all bits stay
		return
	}
	one.Last = max(one.Last, at)
}

func (w *writing) flushRefusals() error {
	type row struct {
		refusedKey
		refusedSum
	}
	var all []row
	for k, s := range w.refusals {
		all = append(all, row{k, *s})
	}
	shapes := make([]*shapeRow, 0, len(w.shapes))
	for _, s := range w.shapes {
		shapes = append(shapes, s)
	}
	return cmp.Or(
		w.put(`INSERT INTO refused AS t SELECT * FROM json_populate_recordset(null::refused, $1)
			ON CONFLICT (day, at, shape, tenant, gateway, provider, ip, outcome) DO UPDATE
			SET count = t.count + excluded.count, first = least(t.first, excluded.first), last = greatest(t.last, excluded.last)`, all),
		w.put(`INSERT INTO shape AS t SELECT * FROM json_populate_recordset(null::shape, $1) ON CONFLICT (hash) DO UPDATE SET
			gateway = CASE WHEN excluded.first < t.first THEN excluded.gateway ELSE t.gateway END,
			run = CASE WHEN excluded.first < t.first THEN excluded.run ELSE t.run END,
			line = CASE WHEN excluded.first < t.first THEN excluded.line ELSE t.line END,
			first = least(t.first, excluded.first), last = greatest(t.last, excluded.last)`, shapes))
}
