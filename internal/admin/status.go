package admin

import (
	"context"
	"net/http"
	"time"
)

// A Status is how a running kanmon is.
type Status struct {
	Started        time.Time `json:"started"`
	Sessions       int       `json:"sessions"`        // running now
	Holders        []Holder  `json:"holders"`         // who has most of them, or was refused some
	RecordsDropped uint64    `json:"records_dropped"` // that at least one sink has lost, since the start

	RecordsDroppedOf map[string]uint64 `json:"records_dropped_of,omitempty"` // by tenant; by source where none is known

	Goroutines int    `json:"goroutines"`
	HeapLive   uint64 `json:"heap_live"`  // octets that the last collection has found in use
	HeapFreed  uint64 `json:"heap_freed"` // octets that are free and not given back to the system yet
	Stacks     uint64 `json:"stacks"`     // octets
	Mapped     uint64 `json:"mapped"`     // octets that the runtime has from the system in all
}

// A Holder is a tenant, or without one a source, and what it has of the sessions.
type Holder struct {
	Tenant   string `json:"tenant,omitempty"`
	Source   string `json:"source,omitempty"` // an address, or the /64 of an IPv6 one
	Sessions int    `json:"sessions"`
	Refused  uint64 `json:"refused"`          // because they were too many, since the start
	Slowed   bool   `json:"slowed,omitempty"` // having more than a part of more work than there is time for
}

// A Process is what the daemon knows of itself.
type Process interface {
	Status() Status
}

func (s *Server) showStatus(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.process.Status()) }

// Status gives how kanmon is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return answer[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}
