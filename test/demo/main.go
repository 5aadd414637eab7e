// Demo shows kanmon at work, in network namespaces of its own: two tenants' Postfix send mail, the gateway's kernel hands
// the connections to kanmon, kanmon sends from two IPs, over TLS where it is offered, to a Postfix and to a tarpit.
//
// It needs root and what test/setup/install.sh unpacks; `make demo` sees to the latter. Nothing of it touches the host, and
// Ctrl-C ends it at any time.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"kanmon/test/netlab"
)

// limit bounds the whole demo.
const limit = 55 * time.Second

func main() {
	closePort, err := openPort()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	code, done := netlab.Isolate()
	if done {
		closePort()
		os.Exit(code)
	}
	interrupted, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(interrupted, limit)
	defer cancel()
	err = show(interrupted, ctx)
	switch {
	case interrupted.Err() != nil:
		fmt.Println("\nInterrupted. Everything is cleaned up.")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// show shows mail going through kanmon, within ctx, and what there is to be seen of it, as long as somebody looks.
func show(looking, ctx context.Context) (err error) {
	began := time.Now()
	lab, err := netlab.New("demo")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, lab.Logs(15))
		}
		err = errors.Join(err, lab.Close())
	}()
	paint := newPaint(os.Stdout)
	fmt.Println(paint.picture())
	s, err := build(ctx, lab)
	if err != nil {
		return err
	}
	fmt.Printf("Ready after %.1f s: 3 × Postfix, 1 tarpit, DNS, kanmon and its nft rules. The session log, live:\n\n", time.Since(began).Seconds())

	log := &tail{file: s.kanmon.SessionLogFile(), paint: paint}
	tailing, stopTail := context.WithCancel(ctx)
	var tailed sync.WaitGroup
	tailed.Go(func() { log.follow(tailing) })
	results, err := s.send(ctx)
	if err == nil {
		err = s.awaitRecords(ctx, results)
	}
	stopTail()
	tailed.Wait()
	if err != nil {
		return err
	}
	printSummary(paint, log, results)
	took := time.Since(began)
	if err := s.showPage(looking); err != nil {
		return err
	}
	fmt.Printf("\nDone in %.1f s. All of it ran in namespaces of its own, and they are gone.\n", took.Seconds())
	return nil
}
