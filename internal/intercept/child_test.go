package intercept_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/intercept"
	"kanmon/internal/outlet/dial"
	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
)

// say tells the parent something.
var say = slog.New(slog.NewJSONHandler(os.Stdout, nil))

// runChild is the main function of a child.
func runChild(text string) {
	var o options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		say.Error("failed", "error", err)
		return
	}
	commands := map[string]func(){"report": func() {}}
	var err error
	switch o.Role {
	case "mx":
		err = runMX()
	case "msa":
		runMSA()
		return
	case "gateway":
		err = runGateway(o, commands)
	case "rules":
		err = runRules(o)
	case "guard":
		err = runGuard(o)
	}
	if err != nil {
		say.Error("failed", "error", err)
		return
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		commands[in.Text()]()
		var used syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
		say.Info("done "+in.Text(), "CPU", time.Duration(used.Utime.Nano()+used.Stime.Nano()))
	}
}

// runMX is a server that greets, and answers each line with one: BIG with a long one.
func runMX() error {
	ln, err := net.Listen("tcp", "[::]:25")
	if err != nil {
		return err
	}
	say.Info("ready")
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			say.Info("mail", "source", conn.RemoteAddr().String())
			go func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, "220 mx\r\n")
				for in := bufio.NewScanner(conn); in.Scan(); {
					answer := "250 mx\r\n"
					if in.Text() == "BIG" {
						answer = "250 " + strings.Repeat("x", 1<<20) + "\r\n"
					}
					_, _ = io.WriteString(conn, answer)
				}
				time.Sleep(100 * time.Millisecond) // its FIN comes when who has closed knows nothing of the connection any more
			}()
		}
	}()
	return nil
}

// runMSA connects as it is told, and says what it gets.
func runMSA() {
	var held []net.Conn
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var s sending
		if err := json.Unmarshal(in.Bytes(), &s); err != nil {
			say.Error("failed", "error", err)
			return
		}
		if s.Held {
			answer(func() (string, error) { return ask(held[0], s) })
			continue
		}
		for _, conn := range held {
			_ = conn.Close()
		}
		held = nil
		d := net.Dialer{Timeout: cmp.Or(s.Timeout, 5*time.Second)}
		d.SetMultipathTCP(s.MPTCP)
		if s.Port != 0 {
			d.LocalAddr = &net.TCPAddr{Port: s.Port}
		}
		for range s.Hold {
			if conn, err := d.Dial("tcp", s.Target.String()); err == nil {
				held = append(held, conn)
			}
		}
		if s.Hold > 0 {
			say.Info("holding")
			continue
		}
		answer(func() (string, error) { return converse(&d, s) })
	}
}

// answer says what came of a conversation.
func answer(converse func() (string, error)) {
	start := time.Now()
	line, err := converse()
	if err != nil {
		say.Info("answer", "error", err, "took", time.Since(start))
		return
	}
	say.Info("answer", "line", line, "took", time.Since(start))
}

// converse gives the first line of a server, or its answer to what is to be said.
func converse(d *net.Dialer, s sending) (string, error) {
	conn, err := d.Dial("tcp", s.Target.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return ask(conn, s)
}

// ask is converse on a connection on which nothing has been read.
func ask(conn net.Conn, s sending) (string, error) {
	_ = conn.SetReadDeadline(time.Now().Add(cmp.Or(s.Timeout, 5*time.Second)))
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil || s.Say == "" {
		return line, err
	}
	if s.Stray {
		if err := sendStray(conn.(*net.TCPConn), "RCPT TO:<secret@mx.example>\r\n"); err != nil {
			return "", fmt.Errorf("stray segment: %w", err)
		}
		time.Sleep(200 * time.Millisecond) // the answer to it, if there is one
	}
	if _, err := io.WriteString(conn, s.Say+"\r\n"); err != nil {
		return "", err
	}
	if line, err = in.ReadString('\n'); len(line) > 80 {
		line = line[:8] + "\r\n"
	}
	return line, err
}

func mode(o options) intercept.Mode {
	if o.Mode == intercept.TProxy.String() {
		return intercept.TProxy
	}
	return intercept.Redirect
}

// runGateway is a kanmon that understands no SMTP.
func runGateway(o options, commands map[string]func()) error {
	if o.Files > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: o.Files, Max: o.Files}); err != nil {
			return err
		}
	}
	loops := new(intercept.Loops)
	pool := route.Pool{Name: route.DefaultPool}
	for _, a := range o.SendingIPs {
		pool.IPs = append(pool.IPs, route.WeightedIP{SendingIP: route.SendingIP{Address: a}})
	}
	router, err := route.NewRouter(route.Config{Pools: []route.Pool{pool}})
	if err != nil {
		return err
	}
	dialer := dial.New(dial.Config{Mark: o.OwnMark, Guard: loops})
	newListener := func() *intercept.Listener {
		return &intercept.Listener{
			Mode: mode(o), Loops: loops, Log: say,
			Handle: func(conn *net.TCPConn, origin session.Origin) {
				say.Info("handled", "source", origin.Source, "destination", origin.Destination, "port", origin.Port)
				if o.Hold {
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
					say.Info("ended")
					return
				}
				relay(conn, origin, router, dialer)
			},
			Refuse: func(conn *net.TCPConn, origin session.Origin, why session.Refusal) {
				say.Info("refused", "source", origin.Source, "destination", origin.Destination, "why", why)
				_, _ = fmt.Fprintf(conn, "421 refused %d\r\n", why)
				_ = conn.Close()
			},
		}
	}
	var opened []*intercept.Listener
	var served sync.WaitGroup
	for i := range len(o.Dedicated) + 1 { // one for the port of all, and one for each dedicated one
		l, listen := newListener(), o.Listen
		if i > 0 {
			d := o.Dedicated[i-1]
			l.Dedicated, listen = true, nil
			l.SetWires(d.Interfaces)
			for _, a := range o.Listen {
				listen = append(listen, netip.AddrPortFrom(a.Addr(), d.Port))
			}
		}
		open := l.Open
		if o.Adopt {
			open = func(ctx context.Context, addresses []netip.AddrPort) error { return adopt(ctx, l, addresses) }
		}
		if err := open(context.Background(), listen); err != nil {
			return err
		}
		opened = append(opened, l)
		served.Go(l.Serve)
	}
	commands["close"] = func() {
		for _, l := range opened {
			if err := l.Close(); err != nil {
				say.Error("failed", "error", err)
			}
		}
		served.Wait()
	}
	say.Info("ready")
	return nil
}

// adopt opens the addresses as a socket unit does, and gives them to the listener as a process without privileges.
func adopt(ctx context.Context, l *intercept.Listener, addresses []netip.AddrPort) error {
	lc := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) (err error) {
		if l.Mode != intercept.TProxy {
			return nil
		}
		level, option := unix.SOL_IP, unix.IP_TRANSPARENT
		if network == "tcp6" {
			level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
		}
		return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }), err)
	}}
	lc.SetMultipathTCP(false)
	var opened []net.Listener
	for _, a := range addresses {
		network := "tcp6"
		if a.Addr().Is4() {
			network = "tcp4"
		}
		ln, err := lc.Listen(ctx, network, a.String())
		if err != nil {
			return err
		}
		opened = append(opened, ln)
	}
	if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		return err
	}
	for _, ln := range opened {
		if err := l.Adopt(ln); err != nil {
			return err
		}
	}
	return nil
}

func relay(conn *net.TCPConn, origin session.Origin, router *route.Router, dialer *dial.Dialer) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	choice, err := router.Choose(route.Query{Source: origin.Source.Addr(), Destination: origin.Destination, Suspicion: -1})
	var out session.Outbound
	if err == nil {
		out, err = dialer.DialFrom(ctx, choice.IP.Address, origin.Destination)
	}
	if err != nil {
		say.Error("dial failed", "error", err)
		_, _ = io.WriteString(conn, "421 4.4.1\r\n")
		return
	}
	go func() {
		_, _ = io.Copy(out.Conn, conn)
		_ = out.Conn.Close()
	}()
	_, _ = io.Copy(conn, out.Conn)
	_ = out.Conn.Close()
	out.Closed()
}

func runRules(o options) error {
	r := rules(o)
	act := r.Apply
	if o.Remove {
		act = r.Remove
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := act(ctx); err != nil {
		return err
	}
	say.Info("ready")
	return nil
}

// runGuard keeps the rules, and guards them.
func runGuard(o options) error {
	keeper := &intercept.Keeper{Dir: o.Kept}
	if err := keeper.Apply(context.Background(), rules(o), false); err != nil {
		return err
	}
	guard := &intercept.Guard{Keeper: keeper, Log: say}
	go func() {
		if err := guard.Run(context.Background(), func() { say.Info("ready") }); err != nil {
			say.Error("failed", "error", err)
		}
	}()
	return nil
}

func rules(o options) intercept.Rules {
	return intercept.Rules{
		Mode: mode(o), Listen: o.Listen, Dedicated: o.Dedicated, Sources: o.Sources, Interfaces: o.Interfaces,
		Local: o.Local, User: o.User, Mark: o.Mark, NoIPv4: o.NoIPv4, NoIPv6: o.NoIPv6,
		RouteMark: o.RouteMark, RouteTable: o.RouteTable,
	}
}
