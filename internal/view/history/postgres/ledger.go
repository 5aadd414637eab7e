package postgres

import (
	"cmp"
	"maps"
	"slices"

	"kanmon/internal/view/history/index"
)

// A ledger has all that the attempts of some lines are joined by, and what they change of it: a question for each of them would cost a way to the server
// and back.
type ledger struct {
	w     *writing
	waits map[int64]*index.Waiting
	keys  map[int64]map[int64]bool           // mails, by key
	who   map[int64]map[int64]map[int64]bool // keys, by mail and recipient

	changed map[int64]bool // mails
	added   map[index.WaitsFor]bool
	settled map[index.WaitsFor]bool // Mail and Who of it
}

// mostLoaded is how many entries are read for some lines: who has one recipient wait for very many mails has none of them told apart.
const mostLoaded = 200_000

func openLedger(w *writing, rows []row) (*ledger, error) {
	l := &ledger{
		w: w, waits: map[int64]*index.Waiting{}, keys: map[int64]map[int64]bool{}, who: map[int64]map[int64]map[int64]bool{},
		changed: map[int64]bool{}, added: map[index.WaitsFor]bool{}, settled: map[index.WaitsFor]bool{},
	}
	keys, mails := map[int64]bool{}, map[int64]bool{}
	for i := range rows {
		r := &rows[i]
		if !r.fresh || r.attempt == nil {
			continue
		}
		k := index.KeysOf(r.attempt)
		for _, key := range slices.Concat(k.IDs, k.Senders) {
			keys[key] = true
		}
		if k.Mail != 0 {
			mails[k.Mail] = true
		}
	}
	if len(keys) == 0 {
		return l, nil
	}
	err := each(w.ctx, w.tx, `WITH asked AS (
			SELECT f.mail FROM unnest($1::bigint[]) AS k (key) CROSS JOIN LATERAL (SELECT mail FROM waits_for WHERE key = k.key LIMIT $3) f
			UNION SELECT unnest($2::bigint[]))
		SELECT w.mail, w.tenant, w.provider, w.ip, w.first, w.last, w.size, w.deferred, w.named, f.key, f.who
		FROM asked JOIN waits w USING (mail) JOIN waits_for f USING (mail) LIMIT $4`, func(scan func(...any) error) error {
		var m index.Waiting
		var f index.WaitsFor
		err := scan(&m.Mail, &m.Tenant, &m.Provider, &m.IP, &m.First, &m.Last, &m.Size, &m.Deferred, &m.Named, &f.Key, &f.Who)
		if l.waits[m.Mail] == nil {
			l.waits[m.Mail] = &m
		}
		f.Mail = m.Mail
		l.note(f)
		return err
	}, slices.Collect(maps.Keys(keys)), slices.Collect(maps.Keys(mails)), index.MostAsked, mostLoaded)
	return l, err
}

func (l *ledger) note(f index.WaitsFor) {
	if l.keys[f.Key] == nil {
		l.keys[f.Key] = map[int64]bool{}
	}
	l.keys[f.Key][f.Mail] = true
	if l.who[f.Mail] == nil {
		l.who[f.Mail] = map[int64]map[int64]bool{}
	}
	if l.who[f.Mail][f.Who] == nil {
		l.who[f.Mail][f.Who] = map[int64]bool{}
	}
	l.who[f.Mail][f.Who][f.Key] = true
}

// For gives the mails that wait by a key; see [index.Ledger].
func (l *ledger) For(key int64) (all []index.Waiting, err error) {
	for mail := range l.keys[key] {
		if w := l.waits[mail]; w != nil {
			all = append(all, *w)
		}
	}
	slices.SortFunc(all, func(a, b index.Waiting) int { return cmp.Compare(a.Mail, b.Mail) })
	return all[:min(len(all), index.MostAsked)], nil
}

// Waiting gives a mail that is waited for; see [index.Ledger].
func (l *ledger) Waiting(mail int64) (*index.Waiting, error) {
	if w := l.waits[mail]; w != nil {
		one := *w
		return &one, nil
	}
	return nil, nil //nolint:nilnil // it is said so
}

// Left counts who waits for a mail; see [index.Ledger].
func (l *ledger) Left(mail int64) (int, error) { return len(l.who[mail]), nil }

// Note says how a mail is; see [index.Ledger].
func (l *ledger) Note(w index.Waiting) error {
	l.changed[w.Mail] = true
	l.waits[w.Mail] = &w
	if w.Gone {
		l.waits[w.Mail] = nil
	}
	return nil
}

// NoteFor says who waits; see [index.Ledger].
func (l *ledger) NoteFor(f index.WaitsFor) error {
	if !f.Gone {
		l.note(f)
		l.added[f] = true
		return nil
	}
	for key := range l.who[f.Mail][f.Who] {
		delete(l.keys[key], f.Mail)
		delete(l.added, index.WaitsFor{Key: key, Mail: f.Mail, Who: f.Who})
	}
	delete(l.who[f.Mail], f.Who)
	l.settled[index.WaitsFor{Mail: f.Mail, Who: f.Who}] = true
	return nil
}

type waitsRow struct {
	Mail     int64  `json:"mail"`
	Tenant   string `json:"tenant"`
	Provider string `json:"provider"`
	IP       string `json:"ip"`
	First    int64  `json:"first"`
	Last     int64  `json:"last"`
	Size     int64  `json:"size"`
	Deferred bool   `json:"deferred"`
	Named    bool   `json:"named"`
}

type waitsForRow struct {
	Key  int64 `json:"key"`
	Mail int64 `json:"mail"`
	Who  int64 `json:"who"`
}

// flush writes what has changed: what is settled first, as who waits again behind that waits.
func (l *ledger) flush() error {
	var settled, added []waitsForRow
	for f := range l.settled {
		settled = append(settled, waitsForRow{0, f.Mail, f.Who})
	}
	for f := range l.added {
		added = append(added, waitsForRow{f.Key, f.Mail, f.Who})
	}
	gone, waits := []int64{}, []waitsRow{}
	for mail := range l.changed {
		w := l.waits[mail]
		if w == nil {
			gone = append(gone, mail)
			continue
		}
		waits = append(waits, waitsRow{w.Mail, name(w.Tenant), name(w.Provider), w.IP, w.First, w.Last, w.Size, w.Deferred, w.Named})
	}
	if _, err := l.w.tx.Exec(l.w.ctx, "DELETE FROM waits WHERE mail = ANY($1)", gone); err != nil {
		return err
	}
	return cmp.Or(
		l.w.put("DELETE FROM waits_for f USING json_populate_recordset(null::waits_for, $1) g WHERE f.mail = g.mail AND f.who = g.who", settled),
		l.w.put("INSERT INTO waits_for SELECT * FROM json_populate_recordset(null::waits_for, $1) ON CONFLICT DO NOTHING", added),
		l.w.put(`INSERT INTO waits SELECT * FROM json_populate_recordset(null::waits, $1) ON CONFLICT (mail) DO UPDATE SET tenant = excluded.tenant,
			provider = excluded.provider, ip = excluded.ip, first = excluded.first, last = excluded.last, size = excluded.size,
			deferred = excluded.deferred, named = excluded.named`, waits))
}
