package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"
)

// A Status is how a running kanmon is.
type Status struct {
	Problems []Problem `json:"problems"` // what is not normal; none: all is

	Version        string    `json:"version,omitempty"`
	Started        time.Time `json:"started"`
	Sessions       int       `json:"sessions"`        // running now
	Holders        []Holder  `json:"holders"`         // who has most of them, or was refused some
	RecordsDropped uint64    `json:"records_dropped"` // that at least one sink has lost, since the start

	Absent  []netip.Addr `json:"absent,omitempty"`  // sending IPs that this host does not have, and should
	Standby []netip.Addr `json:"standby,omitempty"` // those that float, and that another gateway has

	Timing *Measuring `json:"timing,omitempty"` // nil: nothing is measured

	Rules string `json:"rules,omitempty"` // of the firewall: whether they are in force, and guarded

	RecordsDroppedOf map[string]uint64 `json:"records_dropped_of,omitempty"` // by tenant; by source where none is known

	SessionsMost  int          `json:"sessions_most"` // that there can be
	Held          HeldCounts   `json:"held"`
	IPs           IPCounts     `json:"sending_ips"`
	Senders       SenderCounts `json:"senders"`
	Stopped       []string     `json:"stopped,omitempty"` // tenants that evidence has stopped
	Lately        Lately       `json:"lately"`
	ListenersOff  uint64       `json:"listeners_off"` // subscribers of what happens that have failed
	ReloadRefused string       `json:"reload_refused,omitempty"`

	Goroutines int    `json:"goroutines"`
	HeapLive   uint64 `json:"heap_live"`  // octets that the last collection has found in use
	HeapFreed  uint64 `json:"heap_freed"` // octets that are free and not given back to the system yet
	Stacks     uint64 `json:"stacks"`     // octets
	Mapped     uint64 `json:"mapped"`     // octets that the runtime has from the system in all
}

// A Problem is something that is not normal.
type Problem struct {
	ID   string `json:"id"` // of the list in docs/howto/monitor.md
	What string `json:"what"`
	Do   string `json:"do,omitempty"` // where to look, or what to do

	// What it is about, as far as it is about one.
	IP       netip.Addr `json:"ip,omitzero"`
	Provider string     `json:"provider,omitempty"`
	Tenant   string     `json:"tenant,omitempty"`
	Of       string     `json:"of,omitempty"` // what else it is about: a public list, the address of an MSA, a setting
}

// HeldCounts are sessions whose MSA waits, by for how long.
type HeldCounts struct {
	All    int `json:"all"`
	Minute int `json:"minute"`      // for a minute or longer
	Long   int `json:"ten_minutes"` // for ten minutes or longer
}

// IPCounts are the sending IPs, and of them those that stand so anywhere.
type IPCounts struct {
	Configured int `json:"configured"`
	Absent     int `json:"absent"`
	Standby    int `json:"standby"`
	CutOff     int `json:"cut_off"`
	Suspended  int `json:"suspended"`
	Probing    int `json:"probing"`
	Slowed     int `json:"slowed"`
	Stopped    int `json:"stopped"`
	Warming    int `json:"warming"`
}

// SenderCounts are the tenants and accounts that are treated otherwise than others.
type SenderCounts struct {
	Slowed   int `json:"slowed"`
	Diverted int `json:"diverted"`
	Stopped  int `json:"stopped"`
	Blocked  int `json:"blocked"`
	Exempt   int `json:"exempt"`
}

// Lately is what was lost in the last ten minutes.
type Lately struct {
	Dropped uint64 `json:"records_dropped"`
	Refused uint64 `json:"sessions_refused"` // because they were too many
}

// A Measuring is what is done with the times of mail.
type Measuring struct {
	Act        string `json:"act"`         // what follows of a finding, as configured
	SendingIPs int    `json:"sending_ips"` // configured: with one, or two, less can be found, and done
	Findings   uint64 `json:"findings"`    // that have begun since the start
	Standing   int    `json:"standing"`    // that there are now
	Seen       uint64 `json:"seen"`        // mails, connections and waits that were looked at, since the start
	LeftOut    uint64 `json:"left_out"`    // that came too fast
}

// A Holder is a tenant, or without one a source, and what it has of the sessions.
type Holder struct {
	Tenant   string `json:"tenant,omitempty"`
	Source   string `json:"source,omitempty"` // an address, or the /64 of an IPv6 one
	Sessions int    `json:"sessions"`
	Refused  uint64 `json:"refused"`          // because they were too many, since the start
	Slowed   bool   `json:"slowed,omitempty"` // having more than a part of more work than there is time for
}

// A Process is what the daemon knows of itself, and can do with itself.
type Process interface {
	Status() Status
	// Unready says in a line why this gateway should get no mail; "": it should. It is asked often, and waits for nothing.
	Unready() string
	// Sessions gives those that run and are asked for; an error says what is wrong with the question.
	Sessions(SessionQuery) (Sessions, error)
	// Top gives what happens now, at a glance.
	Top(SessionQuery) (Top, error)
	// Trace gives the dialogue of the sessions that are asked for, from now on, until it is closed.
	Trace(SessionQuery) (Tracing, error)
	// EndSession has one end, in somebody's name, and waits a moment for it.
	EndSession(ctx context.Context, session, reason, who string) (SessionEnd, error)
	// Reload reads the configuration anew, and returns when it holds; an error says why everything is as it was.
	Reload(ctx context.Context) (Reloaded, error)
	// HandOver has the process end behind its sessions, in somebody's name: others take what is new.
	HandOver(who string) (HandedOver, error)
	// TakeOver lets another process have the files of state, in somebody's name, until that is confirmed or it goes.
	TakeOver(ctx context.Context, who string) (Takeover, error)
	// ConfirmTakeover has the process end behind its sessions: the other one has everything.
	ConfirmTakeover(takeover string) (HandedOver, error)
}

// A Reloaded is what came of a reload.
type Reloaded struct {
	ToDo []string `json:"to_do,omitempty"` // what an operator must do for all of the configuration to hold
}

// reloadPatience bounds a reload: the firewall may take its time for many networks.
const reloadPatience = 2 * time.Minute

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	end := time.Now().Add(reloadPatience)
	connection := http.NewResponseController(w)
	if err := errors.Join(connection.SetReadDeadline(end), connection.SetWriteDeadline(end)); err != nil {
		s.log.Warn("a reload may take longer than its answer can wait", "error", err)
	}
	ctx, cancel := context.WithDeadline(r.Context(), end)
	defer cancel()
	done, err := s.process.Reload(ctx)
	if err != nil {
		s.refuse(w, http.StatusConflict, err)
		return
	}
	s.log.Info("reloaded by the operator", "who", peerOf(r.Context()))
	s.answer(w, r, done)
}

// aliveWithin is how soon a kanmon answers what it need not think about, on a host with much to do, too.
const aliveWithin = 5 * time.Second

// Reload has the configuration read anew, and waits until it holds. Who does not say soon that he is there is not waited for.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	hasty := Client{c.socket, c.http, c.person}
	hasty.http.Timeout = aliveWithin
	if _, err := hasty.Status(ctx); err != nil {
		return Reloaded{}, err
	}
	patient := Client{c.socket, c.http, c.person}
	patient.http.Timeout = reloadPatience + patience
	return answer[Reloaded](ctx, &patient, http.MethodPost, "/v1/reload", nil)
}

func (s *Server) showStatus(w http.ResponseWriter, r *http.Request) {
	status := s.process.Status()
	if status.Problems == nil {
		status.Problems = []Problem{}
	}
	s.answer(w, r, status)
}

// Status returns how kanmon is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return answer[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}
