package netlab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A SignedZone is a zone of a [SignedDNS].
type SignedZone struct {
	Name    string // "signed.test", a child of "test"
	Records string // of its zone file, besides SOA and NS
	Kind    SignedKind
	Forged  string // of a Bogus zone: these octets of its file …
	As      string // … are these, since it was signed
}

// A SignedKind is how a zone is signed.
type SignedKind int

// The kinds of zones.
const (
	Signed   SignedKind = iota
	Bogus               // altered since it was signed
	Unsigned            // its parent says so
	Dead                // its servers say nothing
)

// A SignedDNS is a resolver on a host, unbound on 127.0.0.1, that validates, and the servers of a small DNS with a root behind it: nsd on
// 127.0.0.2. Its programs are those of the group "dns" of test/setup/install.sh.
type SignedDNS struct {
	host     *Host
	tools    *Tools
	dir      string
	resolver *Process
}

const (
	authority = "127.0.0.2" // address of nsd
	mute      = "127.0.0.9" // address of the servers of dead zones
)

// ServeSignedDNS signs the zones and begins to serve them.
func (h *Host) ServeSignedDNS(zones ...SignedZone) (*SignedDNS, error) {
	tools, err := FindTools("dns")
	if err != nil {
		return nil, err
	}
	s := &SignedDNS{host: h, tools: tools, dir: filepath.Join(h.Dir, "dns")}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return nil, err
	}
	var test, config strings.Builder
	fmt.Fprintf(&config, "server:\n ip-address: %s\n username: \"\"\n chroot: \"\"\n database: \"\"\n pidfile: %q\n zonesdir: %q\n zonelistfile: %q\n xfrdfile: %q\n"+
		"remote-control:\n control-enable: no\n", authority, s.file("nsd.pid"), s.dir, s.file("zone.list"), s.file("xfrd.state"))
	for _, z := range zones {
		ds, err := s.addZone(&config, z)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&test, "%s. NS ns.%s.\nns.%s. A %s\n%s", z.Name, z.Name, z.Name, serverOf(z), ds)
	}
	ds, err := s.addZone(&config, SignedZone{Name: "test", Records: test.String()})
	if err != nil {
		return nil, err
	}
	root := SignedZone{Records: fmt.Sprintf("test. NS ns.test.\nns.test. A %s\n%s", authority, ds)}
	if ds, err = s.addZone(&config, root); err != nil {
		return nil, err
	}
	if err := writeFile(s.file("anchor"), ds); err != nil {
		return nil, err
	}
	return s, s.start(config.String())
}

// addZone writes the file of a zone and its part of nsd's configuration. The DS is for the zone above, or for those who trust it.
func (s *SignedDNS) addZone(config *strings.Builder, z SignedZone) (ds string, err error) {
	if z.Kind == Dead {
		return "", nil
	}
	origin := z.Name + "."
	name := s.file("zone" + origin)
	text := fmt.Sprintf("$ORIGIN %s\n$TTL 60\n@ SOA ns.test. host.test. 1 3600 600 86400 60\n@ NS ns.%s\n", origin, strings.TrimPrefix(origin, "."))
	if z.Name == "" {
		text = strings.ReplaceAll(text, "NS ns.\n", "NS ns.test.\n")
	} else {
		text += fmt.Sprintf("ns A %s\n", authority)
	}
	if err := writeFile(name, text+z.Records+"\n"); err != nil {
		return "", err
	}
	served := name
	if z.Kind != Unsigned {
		if ds, err = s.sign(origin, name, z); err != nil {
			return "", err
		}
		served = name + ".signed"
	}
	fmt.Fprintf(config, "zone:\n name: %q\n zonefile: %q\n", origin, served)
	return ds, nil
}

// sign makes keys of a zone and signs its file with them.
func (s *SignedDNS) sign(origin, name string, z SignedZone) (ds string, err error) {
	sign := []string{s.tools.Path("ldns-signzone"), "-o", origin, "-f", name + ".signed", name}
	for _, use := range [][]string{{}, {"-k"}} {
		made, err := s.host.run(s.tools.Env(), append(append([]string{"env", "-C", s.dir, s.tools.Path("ldns-keygen"), "-a", "ECDSAP256SHA256", "-r", "/dev/urandom"}, use...), origin)...)
		if err != nil {
			return "", err
		}
		key := s.file(strings.TrimSpace(made))
		sign = append(sign, key)
		if content, err := os.ReadFile(key + ".ds"); err == nil {
			ds = string(content)
		}
	}
	if _, err := s.host.run(s.tools.Env(), sign...); err != nil {
		return "", err
	}
	if z.Kind == Bogus {
		content, err := os.ReadFile(name + ".signed")
		if err != nil || !bytes.Contains(content, []byte(z.Forged)) {
			return "", fmt.Errorf("%s has no %q that could be forged: %w", origin, z.Forged, err)
		}
		err = writeFile(name+".signed", strings.ReplaceAll(string(content), z.Forged, z.As))
		return ds, err
	}
	return ds, nil
}

func serverOf(z SignedZone) string {
	if z.Kind == Dead {
		return mute
	}
	return authority
}

// start begins to serve.
func (s *SignedDNS) start(config string) error {
	conn, err := s.host.ListenPacket(mute + ":53")
	if err != nil {
		return err
	}
	s.host.lab.Cleanup(conn.Close) // nobody reads it
	if err := writeFile(s.file("nsd.conf"), config); err != nil {
		return err
	}
	_, err = s.host.Start(Command{Name: "nsd", Args: []string{s.tools.Path("nsd"), "-d", "-c", s.file("nsd.conf")}, Env: s.tools.Env()})
	if err != nil {
		return err
	}
	return s.Resolve(true)
}

// Resolve begins to resolve, and validates or not; it replaces the resolver that there is.
func (s *SignedDNS) Resolve(validates bool) error {
	s.Silence()
	module := "iterator"
	if validates {
		module = "validator iterator"
	}
	config := fmt.Sprintf("server:\n interface: 127.0.0.1\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n do-daemonize: no\n"+
		" num-threads: 1\n module-config: %q\n trust-anchor-file: %q\n do-not-query-localhost: no\n local-zone: \"test.\" nodefault\n ede: yes\n"+
		"stub-zone:\n name: \".\"\n stub-addr: %s\n", s.dir, module, s.file("anchor"), authority)
	if err := writeFile(s.file("unbound.conf"), config); err != nil {
		return err
	}
	var err error
	s.resolver, err = s.host.Start(Command{Name: "unbound", Args: []string{s.tools.Path("unbound"), "-d", "-c", s.file("unbound.conf")}, Env: s.tools.Env()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	return waitFor(ctx, "unbound answers on "+s.host.Name, func() bool {
		_, err := s.host.run(s.tools.Env(), s.tools.Path("drill"), "@127.0.0.1", "test.", "SOA")
		return err == nil
	})
}

// Silence stops the resolver.
func (s *SignedDNS) Silence() {
	if s.resolver != nil {
		s.resolver.Kill()
	}
}

// Dial connects from the host, in whatever goroutine.
func (s *SignedDNS) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = s.host.Do(func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

func (s *SignedDNS) file(name string) string { return filepath.Join(s.dir, name) }
