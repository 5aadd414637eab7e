package event

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A Pulse knows when this process stood still: it had no processor, or was stopped. Somebody has it beat, ten times a
// second while there is something to do. A beat that comes late tells that nothing else was done in time either, so
// what took long meanwhile says nothing of others. Who asks pays two loads of a number. The zero Pulse has not beaten,
// and knows of nothing.
type Pulse struct {
	began  atomic.Pointer[time.Time] // when it beat first; nil: it does not beat
	next   atomic.Int64              // when it is to beat next, since then
	stills atomic.Pointer[[]still]   // the last ones, in order
	total  atomic.Int64
}

// A still is a time in which the process stood still, since the Pulse began.
type still struct{ from, to time.Duration }

const (
	// lateBeat is how late a beat must be to count.
	lateBeat = 250 * time.Millisecond
	// maxStills bounds how many are remembered.
	maxStills = 64
)

// Beat says that the process runs, and in what time it will say so again. One goroutine calls it.
func (p *Pulse) Beat(now time.Time, again time.Duration) {
	began := p.began.Load()
	if began == nil {
		p.next.Store(int64(again))
		p.began.Store(&now)
		return
	}
	at := now.Sub(*began)
	if due := p.due(); at-due > lateBeat {
		var known []still
		if was := p.stills.Load(); was != nil {
			known = (*was)[max(0, len(*was)+1-maxStills):]
		}
		known = append(append(make([]still, 0, len(known)+1), known...), still{due, at})
		p.stills.Store(&known)
		p.total.Add(int64(at - due))
	}
	p.next.Store(int64(at + again))
}

// due is when the next beat is to come.
func (p *Pulse) due() time.Duration { return time.Duration(p.next.Load()) }

// Rest says that there are no more beats.
func (p *Pulse) Rest() {
	p.began.Store(nil)
	p.stills.Store(nil)
}

// Stood is for how long the process has stood still between two points in time, as far as is remembered.
func (p *Pulse) Stood(from, to time.Time) (stood time.Duration) {
	began := p.began.Load()
	if began == nil {
		return 0
	}
	within := still{from.Sub(*began), to.Sub(*began)}
	due := p.due()
	if within.to-due > lateBeat { // who asks runs again before the beat does
		stood = within.both(still{due, within.to})
	}
	known := p.stills.Load()
	if known == nil {
		return stood
	}
	for i := len(*known) - 1; i >= 0 && (*known)[i].to > within.from; i-- {
		if (*known)[i].from < due { // else it has been counted just now
			stood += within.both((*known)[i])
		}
	}
	return stood
}

// Total is for how long the process has stood still since the Pulse began.
func (p *Pulse) Total() time.Duration { return time.Duration(p.total.Load()) }

// both is how long two times have in common.
func (a still) both(b still) time.Duration { return max(0, min(a.to, b.to)-max(a.from, b.from)) }

// marks notes in a record for how long the process stood still while that happened which it tells of.
func (p *Pulse) marks(r *Record) {
	if p.began.Load() == nil {
		return
	}
	begun := r.Session.Start
	if t := r.Transaction; t != nil {
		t.Stalled = p.Stood(begun.Add(t.At), r.At)
		if t.Stalled > 0 && len(r.Lines) > 0 { // they are wanted
			note := r.Add(fmt.Appendf(nil, "kanmon stood still for %s of this mail", t.Stalled.Round(time.Millisecond)))
			r.Lines = append(r.Lines, Line{Mark: MarkNote, Text: note, At: r.At.Sub(begun)})
		}
	}
	p.marksLeg(begun, &r.Session.Leg)
	if r.End != nil {
		for i := range r.End.Legs {
			p.marksLeg(begun, &r.End.Legs[i])
		}
	}
	if w, is := r.News.(Wait); is {
		if w.Stalled = p.Stood(r.At.Add(-w.Waited), r.At); w.Stalled > 0 {
			r.News = w
		}
	}
}

func (p *Pulse) marksLeg(begun time.Time, l *Leg) {
	if l.Opened > 0 {
		l.Stalled = MicrosOf(p.Stood(begun.Add(l.At.Duration()), begun.Add(l.Opened.Duration())))
	}
}
