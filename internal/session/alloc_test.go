//go:build !race

package session_test

import (
	"runtime"
	"testing"

	"kanmon/internal/session"
)

// TestNoAllocationPerMessage: in steady state a message through a long session allocates nothing in the relay.
func TestNoAllocationPerMessage(t *testing.T) {
	for name, e := range map[string]*testEngine{
		"unrecorded": {}, "recorded": {Engine: session.Engine{Recorder: release{}}},
		"recorded, with a gate that judges nothing": {Engine: session.Engine{Recorder: release{}, Gate: openGate{}}},
		"recorded, domains are asked about":         {Engine: session.Engine{Recorder: release{}, Trust: newEarnest(t, nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			e.Judge, e.Mover = indifferent{}, indifferent{}
			msa, mx := relayThrough(t, e)
			defer msa.Close()
			defer mx.Close()
			toMX, toMSA := messageSteps(4096)
			errs := make(chan error, 1)
			const warm, runs = 50, 500
			go func() {
				buf := make([]byte, 64<<10)
				for range warm + runs {
					if err := playMX(mx, toMSA, buf); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
			buf := make([]byte, 64<<10)
			var before, after runtime.MemStats
			for i := range warm + runs {
				if i == warm {
					runtime.ReadMemStats(&before)
				}
				if err := play(msa, toMX, buf); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
			// The runtime itself allocates a little now and then (pools emptied by a collection).
			if per := float64(after.Mallocs-before.Mallocs) / runs; per > 0.5 {
				t.Errorf("%.2f allocations per message of 4 commands and 4 replies", per)
			}
		})
	}
}

// openGate lets everything pass, and has nobody's content judged.
type openGate struct{}

func (g openGate) Enter(session.Origin) session.Pass   { return g }
func (openGate) Ask(session.Question) session.Decision { return session.Decision{} }
func (openGate) Tell(session.News)                     {}
func (openGate) Close()                                {}

// BenchmarkMessage is one 4 KB message through a session that stays open, peers included.
func BenchmarkMessage(b *testing.B) {
	msa, mx := relay(b, release{})
	defer msa.Close()
	defer mx.Close()
	toMX, toMSA := messageSteps(4096)
	go func() {
		buf := make([]byte, 64<<10)
		for playMX(mx, toMSA, buf) == nil {
		}
	}()
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		if err := play(msa, toMX, buf); err != nil {
			b.Fatal(err)
		}
	}
}
