package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"kanmon/test/netlab"
)

// With DEMO_PAGE=1 the demo ends with a look at the page, which is served in the gateway's namespace. This host sees it at a port of
// 127.0.0.1, the only one that the demo opens here: what connects there is led by a Unix socket into the namespace.

// pageVariable tells the isolated program the folder of that socket.
const pageVariable = "KANMON_DEMO_PAGE"

// lookLimit bounds how long the page is there.
const lookLimit = 30 * time.Minute

// openPort opens the port, before the namespaces are made, if the page is wanted.
func openPort() (closePort func(), err error) {
	if os.Getenv("DEMO_PAGE") != "1" || os.Getenv(pageVariable) != "" {
		return func() {}, nil
	}
	folder, err := os.MkdirTemp("", "kanmon-page-")
	if err != nil {
		return nil, err
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := errors.Join(os.Setenv(pageVariable, folder), os.WriteFile(filepath.Join(folder, "port"), []byte(port.Addr().String()), 0o600)); err != nil {
		return nil, errors.Join(err, port.Close(), os.RemoveAll(folder))
	}
	go lead(port, func() (net.Conn, error) { return net.Dial("unix", filepath.Join(folder, "page.sock")) })
	return func() { _ = errors.Join(port.Close(), os.RemoveAll(folder)) }, nil
}

// lead takes connections until the listener is closed, and joins each to one that is dialled for it.
func lead(from net.Listener, dial func() (net.Conn, error)) {
	for {
		c, err := from.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			to, err := dial()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(to, c)
				_ = to.Close()
			}()
			_, _ = io.Copy(c, to)
		}()
	}
}

// pageConfig is what the configuration says of the page.
func pageConfig(k *netlab.Kanmon) string {
	if os.Getenv(pageVariable) == "" {
		return ""
	}
	return fmt.Sprintf(`
[admin]
socket = %q

[history]
directory = %q

[web]
listen    = "127.0.0.1:8460"
users     = %q
directory = %q
user      = "root"
`, k.Socket(), filepath.Join(k.Host.Dir, "history"), filepath.Join(k.Host.Dir, "web-users"), filepath.Join(k.Host.Dir, "view"))
}

// showPage serves the page until Enter is pressed, and says where it is and who may log in.
func (s *stage) showPage(ctx context.Context) error {
	folder := os.Getenv(pageVariable)
	if folder == "" {
		fmt.Println("\nDEMO_PAGE=1 make demo ends with a page that shows all of this in a browser, at a port of 127.0.0.1.")
		return nil
	}
	gateway, password := s.kanmon.Host, rand.Text()
	file := filepath.Join(s.kanmon.Folder(), "kanmon.toml")
	add := `echo "$2" | "$0" web user add demo --role act --config "$1"`
	if _, err := gateway.Run("sh", "-c", add, netlab.Program(), file, password); err != nil {
		return err
	}
	view, err := gateway.Start(netlab.Command{Name: "view", Args: []string{netlab.Program(), "view", "--config", file}})
	if err != nil {
		return err
	}
	if err := gateway.WaitListening(8460, 20*time.Second); err != nil {
		return fmt.Errorf("%w: %s", err, view.Log())
	}
	inside, err := net.Listen("unix", filepath.Join(folder, "page.sock"))
	if err != nil {
		return err
	}
	defer func() { _ = inside.Close() }()
	go lead(inside, func() (net.Conn, error) { return gateway.Dial("127.0.0.1:8460", 5*time.Second) })
	port, err := os.ReadFile(filepath.Join(folder, "port"))
	if err != nil {
		return err
	}
	fmt.Printf("\nThe page: http://%s/\nName: demo. Password: %s\nIt is there until you press Enter, for %s at most.\n", port, password, lookLimit)
	pressed := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		close(pressed)
	}()
	select {
	case <-pressed:
	case <-ctx.Done():
	case <-time.After(lookLimit):
	}
	return nil
}
