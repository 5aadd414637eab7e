package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kanmon/test/bench/load"
	"kanmon/test/bench/mx"
	"kanmon/test/netlab"
)

// roles are what this program does when it is started again by itself, on a host of the lab: as a process that has the limit of
// descriptors for itself. They end with process 1 of the namespaces at the latest.
var roles = map[string]func(args []string) error{"hold-mx": holdMX, "hold-clients": holdClients}

// holdMX answers everything up to EHLO and no MAIL: sessions stay. It prints how many stay, twice a second.
// Argument: address with port.
func holdMX(args []string) error {
	address, err := netip.ParseAddrPort(strings.Join(args, " "))
	if err != nil {
		return err
	}
	server, err := mx.Listen([]mx.Listener{{Address: address, Hold: true}})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		for ctx.Err() == nil {
			fmt.Println(server.Stats().Held)
			time.Sleep(500 * time.Millisecond)
		}
	}()
	return server.Serve(ctx)
}

// holdClients opens sessions and stays. Arguments: number, address with port, source addresses.
func holdClients(args []string) error {
	if len(args) < 3 {
		return errors.New("number, address and sources are wanted")
	}
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	spec := load.Spec{Sessions: count, Size: 1024, Opening: 64}
	if spec.Target, err = netip.ParseAddrPort(args[1]); err != nil {
		return err
	}
	for _, text := range args[2:] {
		source, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		spec.From = append(spec.From, source)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	_, err = load.Run(ctx, spec, nil)
	return err
}

// startRole starts a role on a host. It ends with the lab at the latest.
func startRole(host *netlab.Host, role string, args ...string) (*netlab.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return host.Start(netlab.Command{Name: role, Args: append([]string{self, role}, args...)})
}

// heldNow reads what the role hold-mx printed last.
func heldNow(process *netlab.Process) int {
	lines := strings.Fields(process.Log())
	if len(lines) == 0 {
		return 0
	}
	held, _ := strconv.Atoi(lines[len(lines)-1])
	return held
}
