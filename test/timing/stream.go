package main

import (
	"fmt"
	"time"

	"kanmon/internal/event/timing"
)

// line is one of the stream.
type line struct {
	T        float64 `json:"t"` // seconds
	IP       string  `json:"ip"`
	Provider string  `json:"provider"`
	MX       string  `json:"mx"`
	Tenant   string  `json:"tenant"`
	Mail     uint64  `json:"mail"`
	Phase    string  `json:"phase"`
	FirstMS  float64 `json:"first_ms"` // to the first octet of the reply
	TookMS   float64 `json:"took_ms"`  // to its last
	Pieces   int     `json:"pieces"`   // reads that it came in
	Code     int     `json:"code"`
	Refused  bool    `json:"refused"`
	Stalled  bool    `json:"stalled"`
	Size     int     `json:"size"`
}

// mails puts the lines of each mail together.
type mails struct {
	open map[uint64]*timing.Observation
	free []*timing.Observation
	last *timing.Observation // given to the caller, until the next line
	new  bool                // the line taken last was the first of its mail
}

func newMails() *mails { return &mails{open: map[uint64]*timing.Observation{}} }

var phases = func() map[string]timing.Phase {
	m := map[string]timing.Phase{}
	for f := range timing.Phases {
		m[f.String()] = f
	}
	return m
}()

// take adds a line, and gives the mail if that was its last.
func (m *mails) take(l *line) (*timing.Observation, error) {
	f, ok := phases[l.Phase]
	if !ok {
		return nil, fmt.Errorf("phase %q: it has to be one of dial, banner, hello, mail, rcpt, data, write, dot", l.Phase)
	}
	if m.last != nil {
		m.free = append(m.free, m.last)
		m.last = nil
	}
	o := m.open[l.Mail]
	if m.new = o == nil; m.new {
		if n := len(m.free); n > 0 {
			o, m.free = m.free[n-1], m.free[:n-1]
		} else {
			o = new(timing.Observation)
		}
		*o = timing.Observation{ID: l.Mail, IP: l.IP, Provider: l.Provider, Host: l.MX, Tenant: l.Tenant, Size: l.Size, Took: timing.Absence}
		m.open[l.Mail] = o
	}
	o.Stalled = o.Stalled || l.Stalled
	o.New = o.New || f <= timing.Hello
	took := time.Duration((l.TookMS - l.FirstMS) * float64(time.Millisecond))
	switch {
	case l.Refused:
		o.Refused = true
	case f == timing.Rcpt && l.Code >= 400:
		o.BadRecipient = true
		fallthrough
	default:
		o.Took[f] = l.TookMS / 1e3
		if f != timing.Hello && l.Pieces >= timing.DripPieces && took >= timing.DripTime { // EHLO's reply has several lines
			o.Dripped |= 1 << f
		}
	}
	if !o.Refused && !o.BadRecipient && f != timing.Dot {
		return nil, nil
	}
	o.At = time.Unix(0, 0).Add(time.Duration(l.T * float64(time.Second)))
	delete(m.open, l.Mail)
	m.last = o
	return o, nil
}
