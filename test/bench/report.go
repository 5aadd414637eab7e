package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// write prints the report as Markdown.
func (r *results) write(w io.Writer) {
	r.writeMethod(w)
	for _, c := range r.speed {
		r.writeCell(w, c)
	}
	r.writeLatency(w)
	r.writeHeld(w)
	r.writeDrip(w)
	r.writeCost(w)
	r.writeTargets(w)
}

func (r *results) writeMethod(w io.Writer) {
	conf := r.rig.conf
	disturbed, windows := r.disturbed()
	fmt.Fprintf(w, "# Speed and memory\n\n")
	fmt.Fprintf(w, "Machine: %d cores (%s), Linux %s, %s, %d descriptors a process. Source, proxies and MX share the cores, in network namespaces.\n\n",
		runtime.NumCPU(), processor(), kernel(), runtime.Version(), r.rig.descriptor)
	fmt.Fprintf(w, "%d rounds, the contenders take turns; windows of %v after %v. Medians (least–most); ratios are taken round by round. Message: MAIL written → final reply read. "+
		"%d windows were measured again because other programs took more than %.0f %% of the machine, %d of those that count were disturbed all the same.\n\n",
		conf.rounds, conf.window, conf.warmup, r.rig.repeated, 100*maxOthers, disturbed)
	if disturbed > windows/10 {
		fmt.Fprintf(w, "**%d of %d windows were disturbed: this run decides nothing.**\n\n", disturbed, windows)
	}
	fmt.Fprintf(w, "kanmon keeps full records (JSON lines and session log, to files in memory) unless a row says otherwise. "+
		"HAProxy, nginx and copy speak TLS to the MX from the first octet, kanmon and direct use STARTTLS. "+
		"copy: two goroutines a session, buffers of %d KiB where speed is measured, of %d KiB where held sessions are.\n\n",
		copyBufferSpeed>>10, copyBufferHeld>>10)
}

// disturbed counts the windows that other programs disturbed, and all windows.
func (r *results) disturbed() (disturbed, windows int) {
	count := func(s *sample) {
		windows++
		if s.others > maxOthers {
			disturbed++
		}
	}
	var rounds []round
	for _, c := range r.speed {
		rounds = append(rounds, c.rounds...)
	}
	for _, l := range r.latency {
		rounds = append(rounds, l.rounds...)
	}
	for _, round := range rounds {
		for _, s := range round {
			count(s)
		}
	}
	for _, h := range r.held {
		for _, s := range slices.Concat(h.normal, h.loaded) {
			count(s)
		}
	}
	return disturbed, windows
}

// processor is the machine's name for its CPUs.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range bytes.Lines(info) {
		if key, value, found := bytes.Cut(line, []byte(":")); found && bytes.HasPrefix(key, []byte("model name")) {
			return string(bytes.TrimSpace(value))
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "of unknown release"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// names gives the contenders of a cell's rounds in their order.
func (r *results) names(rounds []round) []string {
	var names []string
	for _, c := range r.rig.all {
		if rounds[0][c.name] != nil {
			names = append(names, c.name)
		}
	}
	return names
}

func (r *results) writeCell(w io.Writer, c cellResult) {
	fmt.Fprintf(w, "## %s\n\n", c.name)
	fmt.Fprintf(w, "| | messages/s | to HAProxy | to copy | proxy CPU µs/message | message ms, p50 | p99 | from connect ms, p50 | p99 | system µs/message: source | MX | failed sessions |\n")
	fmt.Fprintf(w, "|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, name := range r.names(c.rounds) {
		median := func(figure func(*sample) float64) float64 { return of(c.rounds, name, figure).median }
		fmt.Fprintf(w, "| %s | %v | %v | %v | %s | %.2f | %.2f | %s | %s | %.0f | %.0f | %.0f |\n", name,
			of(c.rounds, name, (*sample).rate), compared(c.rounds, name, haproxy, ratio), compared(c.rounds, name, byteCopy, ratio),
			proxyCPU(c.rounds, name),
			median(messageP50), median(messageP99),
			fromConnect(c, median(func(s *sample) float64 { return milliseconds(s.Session.P50) })),
			fromConnect(c, median(func(s *sample) float64 { return milliseconds(s.Session.P99) })),
			median(func(s *sample) float64 { return s.perMessage(s.source.System) }),
			median(func(s *sample) float64 { return s.perMessage(s.mx.System) }),
			of(c.rounds, name, func(s *sample) float64 { return float64(s.Failed) }).most)
	}
	fmt.Fprintln(w)
	r.writeFailures(w, c.rounds)
}

// fromConnect leaves out the time of a session's first message where sessions begin before the window.
func fromConnect(c cellResult, ms float64) string {
	if c.messages != 1 {
		return "–"
	}
	return fmt.Sprintf("%.2f", ms)
}

// proxyCPU is what a proxy spends on a message, and how much of it in the kernel.
func proxyCPU(rounds []round, name string) string {
	if name == direct {
		return "–"
	}
	all := of(rounds, name, func(s *sample) float64 { return s.perMessage(s.proxy.All()) }).median
	system := of(rounds, name, func(s *sample) float64 { return s.perMessage(s.proxy.System) }).median
	return fmt.Sprintf("%.0f, %.0f of it system", all, system)
}

// writeFailures shows the first failure of each contender that had any.
func (r *results) writeFailures(w io.Writer, rounds []round) {
	for _, name := range r.names(rounds) {
		for _, round := range rounds {
			if s := round[name]; s.Failed > 0 {
				fmt.Fprintf(w, "First failure of %s: %s\n\n", name, s.Failure)
				break
			}
		}
	}
}

func (r *results) writeLatency(w io.Writer) {
	for _, l := range r.latency {
		fmt.Fprintf(w, "## Latency, %s: %d sessions, each a message of 4 KB every %v\n\n", l.name, latencySessions, pace)
		fmt.Fprintf(w, "Added: against direct in the same round. Reply: final reply written by the MX → read by the source.\n\n")
		fmt.Fprintf(w, "| | message p50 ms | p99 ms | added p50 ms | added p99 ms | reply p50 ms | reply p99 ms |\n|---|---|---|---|---|---|---|\n")
		for _, name := range r.names(l.rounds) {
			figure := func(f func(*sample) float64) spread { return of(l.rounds, name, f) }
			added := func(quantile func(*sample) float64) spread {
				return compared(l.rounds, name, direct, func(a, b *sample) float64 { return quantile(a) - quantile(b) })
			}
			fmt.Fprintf(w, "| %s | %v | %v | %v | %v | %v | %v |\n", name,
				figure(messageP50), figure(messageP99), added(messageP50), added(messageP99),
				figure(func(s *sample) float64 { return milliseconds(s.Reply.P50) }), figure(replyP99Of))
		}
		fmt.Fprintln(w)
		r.writeFailures(w, l.rounds)
	}
}

func messageP50(s *sample) float64 { return milliseconds(s.Message.P50) }
func messageP99(s *sample) float64 { return milliseconds(s.Message.P99) }
func replyP99Of(s *sample) float64 { return milliseconds(s.Reply.P99) }

func (r *results) writeHeld(w io.Writer) {
	if len(r.held) == 0 {
		return
	}
	fmt.Fprintf(w, "## %d sessions held by a tarpit\n\n", r.held[0].sessions)
	fmt.Fprintf(w, "Resident memory of the proxy as the machine shows it; a held session waits for its reply to MAIL. Idle: CPU over %v. "+
		"Normal mail: 10 : 1 : 4 KB, of the same kind.\n\n", r.rig.conf.idle)
	fmt.Fprintf(w, "| | KiB a session, fresh | after 100 KB each | resident MiB before | fresh | after | idle %% of a core | normal mail/s, nothing held | held | kept | opening s | 100 KB each s |\n")
	fmt.Fprintf(w, "|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, h := range r.held {
		fmt.Fprintf(w, "| %s, %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.2f | %v | %v | %.3f | %.1f | %.1f |\n", h.name, kind(h.tls),
			h.perSession(h.fresh), h.perSession(h.after), mebi(h.before), mebi(h.fresh), mebi(h.after), h.idle,
			rates(h.normal), rates(h.loaded), h.kept(), h.opened.Seconds(), h.relayed.Seconds())
	}
	fmt.Fprintln(w)
}

func kind(tls bool) string {
	if tls {
		return "TLS"
	}
	return "plain"
}

func mebi(kib int) float64 { return float64(kib) / 1024 }

func (h *heldResult) perSession(resident int) float64 {
	return float64(resident-h.before) / float64(h.sessions)
}

// kept is the part of its rate that normal mail keeps while sessions are held.
func (h *heldResult) kept() float64 {
	normal := rates(h.normal).median
	if normal == 0 {
		return 0
	}
	return rates(h.loaded).median / normal
}

func rates(samples []*sample) spread {
	var values []float64
	for _, s := range samples {
		values = append(values, s.rate())
	}
	return spreadOf(values)
}

func (r *results) writeDrip(w io.Writer) {
	if len(r.drip) == 0 {
		return
	}
	fmt.Fprintf(w, "## %d sessions whose MX replies with %d octets a second\n\n| | CPU, %% of a core |\n|---|---|\n", dripSessions, dripRate)
	for _, d := range r.drip {
		fmt.Fprintf(w, "| %s | %.2f |\n", d.name, d.cpu)
	}
	fmt.Fprintln(w)
}
