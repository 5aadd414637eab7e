package parity

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// serveOthers starts the servers that are no openssl s_server, each at the addresses of its profiles.
func (w *world) serveOthers(t *testing.T, dir string) {
	start := map[string]func(*testing.T, string, []*mx){"postfix": w.servePostfix, "exim": w.serveExim, "sendmail": w.serveSendmail}
	for server, serve := range start {
		var mxs []*mx
		for _, m := range w.mxs {
			if m.server == server {
				// A server wants to find its addresses on an interface.
				must(t, w.street.Outside.Address("lo", netip.PrefixFrom(m.address, 32)))
				mxs = append(mxs, m)
			}
		}
		if len(mxs) > 0 {
			serve(t, dir, mxs)
			w.waitFor(t, mxs)
		}
	}
}

// waitFor waits until the servers greet.
func (w *world) waitFor(t *testing.T, mxs []*mx) {
	t.Helper()
	for _, m := range mxs {
		greets := func() bool {
			conn, err := w.street.Inside.DialFrom(netip.MustParseAddr(directFrom), netip.AddrPortFrom(m.address, 25), time.Second)
			if err != nil {
				return false
			}
			defer func() { _ = conn.Close() }()
			return hasGreeted(conn)
		}
		if !eventually(t, 30*time.Second, greets) {
			t.Fatalf("%s: %v", m.name, errNotReady)
		}
	}
}

func hasGreeted(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	code := make([]byte, 3)
	_, err := conn.Read(code)
	return err == nil && string(code) == "220"
}

// servePostfix runs one Postfix. Its profiles but the first are services of their own, with settings of their own.
func (w *world) servePostfix(t *testing.T, dir string, mxs []*mx) {
	must(t, joined(filepath.Join(dir, "rsa.pem"), filepath.Join(dir, "rsa2048.key"), filepath.Join(dir, "rsa2048.crt")))
	options := netlab.PostfixOptions{Role: netlab.MX, Hostname: "mx.example", TLS: "may", Settings: map[string]string{
		"inet_interfaces": mxs[0].address.String(), "inet_protocols": "ipv4",
	}}
	for _, m := range mxs[1:] {
		line := m.address.String() + ":25 inet n - n - - smtpd"
		for setting := range strings.FieldsSeq(m.settings) {
			line += " -o " + strings.Replace(setting, "=rsa", "="+filepath.Join(dir, "rsa.pem"), 1)
		}
		options.Services = append(options.Services, line)
	}
	_, err := netlab.NewPostfix(w.street.Outside, options)
	must(t, err)
}

// joined writes files behind one another.
func joined(into string, files ...string) error {
	var all []byte
	for _, file := range files {
		one, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all = append(all, one...)
	}
	return os.WriteFile(into, all, 0o644)
}

// serveExim runs one Exim, whose ciphers are those of the address that it was called at.
func (w *world) serveExim(t *testing.T, dir string, mxs []*mx) {
	image := w.image(t, "exim", mxs[0].address)
	var addresses, ciphers []string
	for _, m := range mxs {
		addresses = append(addresses, m.address.String())
		ciphers = append(ciphers, fmt.Sprintf("%s: %s", m.address, m.settings))
	}
	must(t, errors.Join(
		copied(image, "/etc/exim4/mx.crt", filepath.Join(dir, "rsa2048.crt")),
		copied(image, "/etc/exim4/mx.key", filepath.Join(dir, "rsa2048.key")),
		image.Write("/etc/exim4/ciphers", strings.Join(ciphers, "\n")+"\n"),
		image.Write("/etc/exim4/exim4.conf", `
primary_hostname = mx.example
daemon_smtp_ports = 25
local_interfaces = <; `+strings.Join(addresses, " ; ")+`
tls_advertise_hosts = *
tls_certificate = /etc/exim4/mx.crt
tls_privatekey = /etc/exim4/mx.key
tls_require_ciphers = ${lookup{$received_ip_address}lsearch{/etc/exim4/ciphers}{$value}{NORMAL}}
acl_smtp_rcpt = acl_all
acl_smtp_data = acl_all
host_lookup =
rfc1413_query_timeout = 0s
begin acl
acl_all:
  accept
begin routers
nowhere:
  driver = redirect
  data = :blackhole:
`)))
	cmd := image.Command("/bin/sh", "-c", "mkdir -p /run/exim4 && chown Debian-exim /run/exim4 /var/spool/exim4 /var/log/exim4 && chgrp Debian-exim /etc/exim4/mx.key && exec /usr/sbin/exim4 -bdf")
	_, err := w.street.Outside.Start(netlab.Command{Name: "exim", Args: cmd.Args})
	must(t, err)
}

// serveSendmail runs one sendmail, which queues what it takes.
func (w *world) serveSendmail(t *testing.T, dir string, mxs []*mx) {
	image := w.image(t, "sendmail", mxs[0].address)
	must(t, errors.Join(
		copied(image, "/etc/mail/mx.crt", filepath.Join(dir, "rsa2048.crt")),
		copied(image, "/etc/mail/mx.key", filepath.Join(dir, "rsa2048.key")),
		image.Write("/etc/mail/parity.mc", `
OSTYPE(`+"`debian'"+`)dnl
define(`+"`confDELIVERY_MODE', `queueonly'"+`)dnl
define(`+"`QUEUE_DIR', `/var/spool/parity'"+`)dnl
define(`+"`confREFUSE_LA', `10000'"+`)dnl
define(`+"`confSERVER_CERT', `/etc/mail/mx.crt'"+`)dnl
define(`+"`confSERVER_KEY', `/etc/mail/mx.key'"+`)dnl
define(`+"`confCACERT_PATH', `/etc/ssl/certs'"+`)dnl
define(`+"`confCACERT', `/etc/mail/mx.crt'"+`)dnl
define(`+"`confDONT_BLAME_SENDMAIL', `GroupReadableKeyFile'"+`)dnl
FEATURE(`+"`promiscuous_relay'"+`)dnl
FEATURE(`+"`accept_unresolvable_domains'"+`)dnl
DAEMON_OPTIONS(`+"`Port=25, Addr="+mxs[0].address.String()+", Name=MTA'"+`)dnl
MAILER(`+"`smtp'"+`)dnl
`)))
	cmd := image.Command("/bin/sh", "-euc", `
		chmod 600 /etc/mail/mx.key
		m4 /usr/share/sendmail/cf/m4/cf.m4 /etc/mail/parity.mc >/etc/mail/parity.cf
		mkdir -p /run/sendmail/mta /var/spool/parity
		chmod 700 /var/spool/parity
		exec /usr/libexec/sendmail/sendmail -bD -C/etc/mail/parity.cf
	`)
	_, err := w.street.Outside.Start(netlab.Command{Name: "sendmail", Args: cmd.Args})
	must(t, err)
}

// image lays an image over the file system of the outer host, with names that are looked up there.
func (w *world) image(t *testing.T, name string, address netip.Addr) *netlab.Image {
	t.Helper()
	image, err := w.street.Outside.Image(name)
	must(t, err)
	must(t, errors.Join(
		image.Write("/etc/resolv.conf", "nameserver "+netlab.StreetDNS.String()+"\n"),
		image.Write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"),
		image.Write("/etc/hosts", "127.0.0.1 localhost\n"+address.String()+" mx.example mx\n")))
	return image
}

// copied copies a file into an image.
func copied(image *netlab.Image, to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return image.Write(to, string(content))
}
