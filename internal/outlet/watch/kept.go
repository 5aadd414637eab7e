package watch

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/store/keep"
)

// kept is what outlives the process of what was seen.
type kept struct {
	State event.Sight `json:"state"`
	Since time.Time   `json:"since"`
	Names []string    `json:"names,omitempty"`
	Codes []string    `json:"codes,omitempty"`
	Why   string      `json:"why,omitempty"`
}

// load takes over what a process before has seen. Rows that make no sense are as if they were not there: it is asked anew.
func (w *Watch) load() {
	if w.o.Store == nil {
		return
	}
	rows, ignored, err := w.o.Store.Load()
	if err != nil {
		w.o.Log.Error("how the sending IPs were seen is not known: what is bad is told again", "table", w.o.Store.String(), "error", err)
		return
	}
	for _, row := range rows {
		at, ok := readKey(row.Key)
		var k kept
		if !ok || json.Unmarshal([]byte(row.Value), &k) != nil {
			ignored++
			continue
		}
		w.seen[at] = &Seen{IP: at.ip, List: at.list, State: k.State, Since: k.Since, Asked: row.Put, Names: k.Names, Codes: k.Codes, Why: k.Why}
	}
	if ignored > 0 {
		w.o.Log.Warn("rows that make no sense were left out: what they told is asked anew", "table", w.o.Store.String(), "count", ignored)
	}
}

// save has the store know what was seen. A store that fails is told of once; what runs is not affected.
func (w *Watch) save(at about, s *Seen) {
	if w.o.Store == nil {
		return
	}
	row := keep.Row{Key: at.key(), Put: s.Asked, Gone: s.State == event.SightUnknown}
	if !row.Gone {
		text, err := json.Marshal(kept{s.State, s.Since, s.Names, s.Codes, s.Why})
		if err != nil {
			w.o.Log.Error("how a sending IP is seen was not written", "error", err)
			return
		}
		row.Value = string(text)
	}
	err := w.o.Store.Save([]keep.Row{row})
	w.mu.Lock()
	told := w.unsaved
	w.unsaved = err != nil
	w.mu.Unlock()
	if err != nil && !told {
		w.o.Log.Error("how a sending IP is seen was not written; a restart may tell it again", "table", w.o.Store.String(), "error", err)
	}
}

// ofList stands for the IP in the row of a list itself.
const ofList = "*"

func (at about) key() string {
	ip := ofList
	if at.ip.IsValid() {
		ip = at.ip.String()
	}
	return ip + " " + at.list
}

func readKey(key string) (at about, ok bool) {
	ip, list, ok := strings.Cut(key, " ")
	at.list = list
	if ip == ofList {
		return at, ok && list != ""
	}
	var err error
	at.ip, err = netip.ParseAddr(ip)
	return at, ok && err == nil
}
