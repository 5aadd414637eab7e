package daemon

import (
	"runtime"
	"runtime/metrics"

	"kanmon/internal/admin"
)

// Status implements [admin.Process].
func (o *operator) Status() admin.Status {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	status := admin.Status{
		Started:    o.d.started,
		Sessions:   o.d.live.Count(),
		Goroutines: runtime.NumGoroutine(),
		HeapLive:   samples[0].Value.Uint64(),
		HeapFreed:  samples[1].Value.Uint64(),
		Stacks:     samples[2].Value.Uint64(),
		Mapped:     samples[3].Value.Uint64() - samples[4].Value.Uint64(),
	}
	for _, j := range o.d.journals() {
		status.RecordsDropped += j.Dropped()
	}
	return status
}
