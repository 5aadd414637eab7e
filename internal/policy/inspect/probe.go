package inspect

import (
	"context"
	"fmt"
	"sync"
)

// A Proof is one thing that a scanner was asked to show.
type Proof struct {
	Scanner string
	Address string // of the upstream
	What    string // that was to be shown, for people
	Err     error  // that it was not; nil: it was
}

// Probe has each scanner prove that it works as it is configured, with messages of kanmon's own. Proofs are in the order of Settings.
func (r *Room) Probe(ctx context.Context) []Proof {
	if !r.enter() {
		return nil
	}
	defer r.leave()
	var ups []*upstream
	var names []string
	for _, s := range r.scanners {
		for _, up := range s.upstreams {
			ups, names = append(ups, up), append(names, s.Name)
		}
	}
	found := make([][]Proof, len(ups))
	var probing sync.WaitGroup
	for i, up := range ups {
		probing.Go(func() { found[i] = probe(ctx, up) })
	}
	probing.Wait()
	var all []Proof
	for i, list := range found {
		for _, p := range list {
			p.Scanner = names[i]
			all = append(all, p)
		}
	}
	return all
}

func probe(ctx context.Context, up *upstream) (all []Proof) {
	defer func() {
		if p := recover(); p != nil {
			all = []Proof{{What: "answers", Err: fmt.Errorf("what it said cannot be read: %v", p)}}
		}
	}()
	return up.Probe(ctx)
}
