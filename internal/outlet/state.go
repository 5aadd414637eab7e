package outlet

import (
	"errors"
	"log/slog"
	"time"

	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/store"
)

// A State is what is known of sending IPs and destinations, whatever the configuration: all outlets of a process share one.
type State struct {
	book      *standing.Book
	learnt    *learnt
	dials     dials
	paths     paths
	stuck     stuck
	ports     portless
	rescues   *rescues
	sites     *sites
	absences  *absences
	rooms     *shape.Memory
	tightened func(Tightened) // nil: nobody hears of it
	lead      lead
	warm      *warm.Book
	shares    *route.Shares // of those that warm up
	times     Times
}

// StateOptions are what a [State] is made from.
type StateOptions struct {
	Book  *standing.Book   // whoever made it closes it, behind the state
	File  *store.File      // of the standing; nil: what is learnt does not survive the process
	Log   *slog.Logger     // nil: nobody is told
	Clock func() time.Time // nil: time.Now
	Times Times            // against which sending IP they speak; nil: nobody measures

	Warmed    func(warm.News) // hears of each step of a sending IP that warms up; nil: nobody does
	Tightened func(Tightened) // hears of each amount that a provider found too much, or time speaks against; it must not wait. Nil: nobody does
}

// OpenState reads what was learnt before.
func OpenState(o StateOptions) (*State, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Times == nil {
		o.Times = nobodys{}
	}
	learnt, err := openLearnt(o.File, o.Log, o.Clock)
	if err != nil {
		return nil, err
	}
	shares := &route.Shares{}
	warming, err := openWarm(&o, shares)
	if err != nil {
		return nil, errors.Join(err, learnt.close())
	}
	return &State{
		book: o.Book, learnt: learnt, paths: paths{log: o.Log}, ports: portless{log: o.Log}, rescues: newRescues(o.Log), sites: newSites(), absences: newAbsences(o.Log),
		rooms: openRooms(o.Clock, learnt), tightened: o.Tightened,
		warm: warming, shares: shares,
		times: o.Times,
	}, nil
}

// Watch says which sending IPs there are. Those that this host does not have when it returns are passed over from the next session on.
func (s *State) Watch(ips []SendingIP, pools []route.Pool) {
	s.paths.of(ips)
	s.absences.of(ips, pools)
}

// DeadPaths returns the ways out by which nothing gets to any MX.
func (s *State) DeadPaths() []DeadPath { return s.paths.list() }

// Absent returns the sending IPs that this host does not have, in the order in which they were configured.
func (s *State) Absent() []Absent { return s.absences.list() }

// Close ends the watch, and writes what has not been written. The book and the file stay open.
func (s *State) Close() error {
	s.absences.close()
	return errors.Join(s.warm.Close(), s.learnt.close())
}
