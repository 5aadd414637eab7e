package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A memoryRun is what a number of held sessions over in-memory connections takes of the Go runtime: heap and stacks, in octets for
// each, after a collection. The connections themselves were there before and do not count, but for the timers of their deadlines.
// There are no sockets, no TLS and no records.
type memoryRun struct {
	Sessions    int
	Heap, Stack float64
	Opened      time.Duration
}

// HeapKiB is the heap alone.
func (m memoryRun) HeapKiB() float64 { return m.Heap / 1024 }

// KiB is heap and stack together.
func (m memoryRun) KiB() float64 { return (m.Heap + m.Stack) / 1024 }

func runMemory(ctx context.Context, p plan) ([]memoryRun, error) {
	var runs []memoryRun
	for _, count := range p.inMemory {
		run, err := memoryOnce(ctx, count)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// A wire is the four ends that one session lies between.
type wire struct{ msa, inside, outside, mx *smtptest.Conn }

func memoryOnce(ctx context.Context, count int) (memoryRun, error) {
	wires := make([]wire, count)
	for i := range wires {
		wires[i].msa, wires[i].inside = smtptest.Pair(memoryMSA(i), memoryMX)
		wires[i].outside, wires[i].mx = smtptest.Pair(memoryMSA(i), memoryMX)
	}
	engine := &session.Engine{
		Ways:    memoryWays(wires),
		Observe: true,
		Live:    new(session.Live),
		Limits:  session.Limits{Sessions: count + 1, SessionsPerSource: count + 1},
		Log:     slog.New(slog.DiscardHandler),
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer func() {
		for _, w := range wires {
			w.msa.Reset()
			w.mx.Reset()
		}
	}()
	before := collected()
	began := time.Now()
	for i, w := range wires {
		if err := ctx.Err(); err != nil {
			return memoryRun{}, err
		}
		running.Go(func() { engine.Serve(w.inside, session.Origin{Source: memoryMSA(i), Destination: memoryMX}) })
		if err := w.hold(); err != nil {
			return memoryRun{}, fmt.Errorf("in-memory session %d: %w", i, err)
		}
	}
	run := memoryRun{Sessions: count, Opened: time.Since(began)}
	after := collected()
	run.Heap = (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(count)
	run.Stack = (float64(after.StackInuse) - float64(before.StackInuse)) / float64(count)
	if held := engine.Live.Count(); held != count {
		return run, fmt.Errorf("of %d in-memory sessions %d are held", count, held)
	}
	return run, nil
}

// hold says on both ends what comes before a tarpit's silence: up to MAIL, which is not answered.
func (w wire) hold() error {
	buf := make([]byte, 1024)
	for _, step := range []struct {
		from, to *smtptest.Conn
		text     string
	}{
		{w.mx, w.msa, "220 mx.example ESMTP\r\n"},
		{w.msa, w.mx, "EHLO msa.example\r\n"},
		{w.mx, w.msa, "250-mx.example\r\n250 8BITMIME\r\n"},
		{w.msa, w.mx, "MAIL FROM:<a@msa.example>\r\n"},
	} {
		if _, err := step.from.Write([]byte(step.text)); err != nil {
			return err
		}
		if err := step.to.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := step.to.Read(buf); err != nil {
			return err
		}
		if err := step.to.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

var memoryMX = netip.MustParseAddrPort("198.51.100.22:25")

// memoryMSA tells the sessions apart by the address of their MSA.
func memoryMSA(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 40000)
}

// The memoryWays lead to the outer ends that were made beforehand.
type memoryWays []wire

// Enter implements [session.Ways].
func (w memoryWays) Enter(origin session.Origin) session.Way {
	octets := origin.Source.Addr().As4()
	i := int(octets[1])<<16 | int(octets[2])<<8 | int(octets[3])
	return memoryWay{w[i].outside}
}

// A memoryWay is the way of a session that only observes.
type memoryWay struct{ outside net.Conn }

func (w memoryWay) Dial(context.Context, session.DialRequest) (session.Outbound, error) {
	return session.Outbound{Conn: w.outside}, nil
}

func (memoryWay) MayStay(session.DialRequest, netip.Addr) (stays session.Stay) { return stays }
func (memoryWay) MayAdd(netip.Addr) (stays session.Stay)                       { return stays }
func (memoryWay) Judge(session.MXRefusal) (none session.Judgement)             { return none }
func (memoryWay) Accepted(netip.Addr)                                          {}
func (memoryWay) Close()                                                       {}

func collected() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC() // pools lose what they hold in the second
	runtime.ReadMemStats(&m)
	return m
}
