package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// servePostfix has a Postfix meet each address of its own in the way of its kind. It says whom it has heard of as a sender.
func (w *stsWorld) servePostfix(t *testing.T) {
	t.Helper()
	host, first := w.MXs[0], mxServers[0].first
	options := netlab.PostfixOptions{Role: netlab.MX, Hostname: "mx1.example", TLS: "may", Settings: map[string]string{
		"inet_interfaces": netlab.MXAddr(1, false).String(), "inet_protocols": "ipv4",
		"smtpd_delay_reject": "no", "smtpd_sender_restrictions": "check_sender_access static:{INFO heard}",
	}}
	for n, kind := range mxKinds {
		at := addressOf(first, n)
		must(t, host.Address("eth0", netip.PrefixFrom(at, 24)))
		line := at.String() + ":25 inet n - n - - smtpd"
		if kind.plain {
			line += " -o smtpd_tls_security_level=none"
		} else {
			line += " -o smtpd_tls_chain_files=" + w.pemOf(t, kind, domainOf(kind.name, "postfix"))
		}
		options.Services = append(options.Services, line)
	}
	var names []string
	for _, name := range bothNames {
		domain := domainOf(name, "postfix")
		names = append(names, "{mx."+domain+"="+w.pemOf(t, mxKind{}, domain)+"}")
	}
	at := addressOf(first, len(mxKinds))
	must(t, host.Address("eth0", netip.PrefixFrom(at, 24)))
	options.Services = append(options.Services, fmt.Sprintf("%s:25 inet n - n - - smtpd -o smtpd_tls_chain_files=%s -o { tls_server_sni_maps = inline:{%s} }",
		at, w.pemOf(t, mxKind{names: []string{"mx.elsewhere.example"}}, "otherwise"), strings.Join(names, ", ")))
	var err error
	w.postfixMX, err = netlab.NewPostfix(host, options)
	must(t, err)
}

// pemOf writes the key and the certificate of an MX.
func (w *stsWorld) pemOf(t *testing.T, kind mxKind, domain string) (path string) {
	t.Helper()
	if kind.names == nil {
		kind.names = []string{"mx." + domain}
	}
	pair, err := w.authority.pair(kind)
	must(t, err)
	key, cert := inPEM(t, pair)
	return w.write(t, domain+".pem", key+cert)
}

// serveExim does the same as an Exim.
func (w *stsWorld) serveExim(t *testing.T) {
	t.Helper()
	host, first := w.MXs[1], mxServers[1].first
	w.eximMX = w.image(t, host, "mx2.example", netlab.MXAddr(2, false))
	var addresses, files []string
	add := func(key, domain string, kind mxKind) {
		content, err := os.ReadFile(w.pemOf(t, kind, domain))
		must(t, err)
		must(t, w.eximMX.Write("/etc/exim4/tls/"+domain+".pem", string(content)))
		files = append(files, key+" "+domain)
	}
	plain := ""
	for n, kind := range mxKinds {
		at := addressOf(first, n)
		must(t, host.Address("eth0", netip.PrefixFrom(at, 24)))
		addresses = append(addresses, at.String())
		if kind.plain {
			plain = at.String()
		}
		add(at.String(), domainOf(kind.name, "exim"), kind)
	}
	at := addressOf(first, len(mxKinds))
	must(t, host.Address("eth0", netip.PrefixFrom(at, 24)))
	addresses = append(addresses, at.String())
	add(at.String(), "otherwise", mxKind{names: []string{"mx.elsewhere.example"}})
	for _, name := range bothNames {
		add(at.String()+"/mx."+domainOf(name, "exim"), domainOf(name, "exim"), mxKind{})
	}
	must(t, errors.Join(
		w.eximMX.Write("/etc/exim4/files", strings.Join(files, "\n")+"\n"),
		w.eximMX.Write("/etc/exim4/exim4.conf", `
primary_hostname = mx2.example
daemon_smtp_ports = 25
local_interfaces = <; `+strings.Join(addresses, " ; ")+`
log_file_path = /var/log/exim4/%slog
tls_advertise_hosts = ${if eq{$received_ip_address}{`+plain+`}{}{*}}
tls_certificate = /etc/exim4/tls/${lookup{$received_ip_address/$tls_in_sni}lsearch{/etc/exim4/files}{$value}{${lookup{$received_ip_address}lsearch{/etc/exim4/files}{$value}{none}}}}.pem
acl_smtp_mail = acl_mail
acl_smtp_rcpt = acl_all
acl_smtp_data = acl_all
host_lookup =
rfc1413_query_timeout = 0s
begin acl
acl_mail:
  accept logwrite = heard <$sender_address>
acl_all:
  accept
begin routers
nowhere:
  driver = redirect
  data = :blackhole:
`)))
	cmd := w.eximMX.Command("/bin/sh", "-c", "mkdir -p /run/exim4 && chown Debian-exim /run/exim4 /var/spool/exim4 /var/log/exim4 && exec /usr/sbin/exim4 -bdf")
	_, err := host.Start(netlab.Command{Name: "exim", Args: cmd.Args})
	must(t, err)
	must(t, host.WaitListening(25, 2*time.Minute))
}

// image lays Exim over the file system of a host.
func (w *stsWorld) image(t *testing.T, host *netlab.Host, name string, at netip.Addr) *netlab.Image {
	t.Helper()
	image, err := host.Image("exim")
	must(t, err)
	must(t, errors.Join(
		image.Write("/etc/resolv.conf", "nameserver "+netlab.DNSServer.String()+"\n"),
		image.Write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"),
		image.Write("/etc/hosts", "127.0.0.1 localhost\n"+at.String()+" "+name+" "+host.Name+"\n")))
	return image
}

// sendByPostfix makes the first tenant's MSA, and sendByExim the second one's.
func (w *stsWorld) sendByPostfix(t *testing.T) {
	t.Helper()
	var err error
	w.postfix, err = netlab.NewPostfix(w.MSAs[0], netlab.PostfixOptions{Role: netlab.MSA, Hostname: "msa1.example", TLS: "may", Settings: map[string]string{"inet_protocols": "ipv4"}})
	must(t, err)
}

func (w *stsWorld) sendByExim(t *testing.T) {
	t.Helper()
	w.eximMSA = w.image(t, w.MSAs[1], "msa2.example", netlab.MSAAddr(2, false))
	must(t, w.eximMSA.Write("/etc/exim4/exim4.conf", `
primary_hostname = msa2.example
log_file_path = /var/log/exim4/%slog
disable_ipv6 = true
host_lookup =
begin routers
out:
  driver = dnslookup
  transport = out
begin transports
out:
  driver = smtp
  hosts_try_dane =
begin retry
* * F,2h,15m
`))
	w.inImage(t, w.eximMSA, w.MSAs[1], "sh", "-c", "mkdir -p /run/exim4 && chown Debian-exim /run/exim4 /var/spool/exim4 /var/log/exim4")
}

// inImage runs a program of an image to its end.
func (w *stsWorld) inImage(t *testing.T, image *netlab.Image, host *netlab.Host, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := image.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader("Subject: note\n\nHello.\n")
	output, err := os.CreateTemp(w.dir, "run")
	must(t, err)
	defer func() { _ = output.Close() }()
	cmd.Stdout, cmd.Stderr = output, output
	must(t, host.Do(cmd.Start))
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	err = cmd.Wait()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
}

// An outcome is what came of a mail at once: in the MSA's first attempt.
type outcome struct {
	sent  bool
	relay string // that took it, or was tried last
	text  string // of the MSA's log
}

// An stsSender is a real MSA.
type stsSender struct {
	name string
	send func(w *stsWorld, t *testing.T, from, to string) outcome
}

var stsSenders = []stsSender{{"postfix", sentByPostfix}, {"exim", sentByExim}}

func sentByPostfix(w *stsWorld, t *testing.T, from, to string) outcome {
	t.Helper()
	_, err := w.postfix.Submit(from, []string{to}, []byte("Subject: note\r\n\r\nHello.\r\n"))
	must(t, err)
	var tries []netlab.Attempt
	w.waitsFor(t, "Postfix has tried to send to "+to, func() bool { tries = w.postfix.Attempts(to); return len(tries) > 0 })
	return outcome{tries[0].Status == "sent", tries[0].Relay, tries[0].Reply}
}

var eximRelay = regexp.MustCompile(`H=(\S+) `)

func sentByExim(w *stsWorld, t *testing.T, from, to string) outcome {
	t.Helper()
	w.inImage(t, w.eximMSA, w.MSAs[1], "/usr/sbin/exim4", "-odf", "-i", "-f", from, to)
	o := outcome{}
	for line := range strings.Lines(eximLog(w.MSAs[1], w.eximMSA)) {
		if !strings.Contains(line, to) {
			continue
		}
		o.text += line
		if relay := eximRelay.FindStringSubmatch(line); relay != nil {
			o.relay = relay[1]
		}
		o.sent = o.sent || strings.Contains(line, " => ")
	}
	return o
}

func eximLog(host *netlab.Host, image *netlab.Image) string {
	var content []byte
	_ = host.Do(func() (err error) {
		content, err = os.ReadFile(image.Path("/var/log/exim4/mainlog"))
		return err
	})
	return string(content)
}

// heard reports whether one of the MXs has heard of a sender.
func (w *stsWorld) heard(sender string) bool {
	return strings.Contains(w.postfixMX.Log()+eximLog(w.MXs[1], w.eximMX), "<"+sender+">")
}

// startKanmon begins with kanmon, which enforces policies from then on and keeps them in a file.
func (w *stsWorld) startKanmon(t *testing.T, more string) {
	t.Helper()
	roots := w.write(t, "roots.pem", certPEM(w.authority.cert))
	w.kanmon = newKanmon(t, w.Outbound)
	must(t, w.kanmon.Configure(forwardedRedirect+sendingIPs+fmt.Sprintf("[admin]\nsocket = %q\n[tls_policy]\nmode = \"enforce\"\nresolver = \"127.0.0.1:53\"\nfirst_contact = \"30s\"\nroots = %q\nstore = %q\n%s",
		w.kanmon.Socket(), roots, filepath.Join(w.kanmon.Folder(), "tls.db"), more)))
	rules(t, w.kanmon, "apply")
	must(t, w.kanmon.Start())
}
