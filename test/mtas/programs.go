package main

import (
	"context"
	"time"

	"kanmon/test/netlab"
)

// A program is one that sends mail.
type program struct {
	name   string
	image  string // of test/setup/install.sh; "": none
	finds  bool   // it finds the MXs of a domain itself; else it is told a host
	start  func(*machine) error
	submit func(context.Context, *machine, target) error
}

var programs = []program{
	{"Postfix", "", true, startPostfix, submission("127.0.0.1:587")},
	{"Exim", "exim", true, startExim, sendmail("/usr/sbin/exim4")},
	{"sendmail", "sendmail", true, nil, sendmail("/usr/libexec/sendmail/sendmail", "-Am", "-odb")},
	{"OpenSMTPD", "opensmtpd", true, startOpenSMTPD, sendmail("/usr/sbin/sendmail")},
	{"Courier", "courier", true, startCourier, sendmail("/usr/sbin/sendmail")},
	// dma waits in a busy loop for more of a connection that was closed. The others must not suffer from it.
	{"dma", "dma", true, nil, sendmail("/usr/bin/nice", "-n", "19", "/usr/sbin/dma")},
	{"Haraka", "node", true, startHaraka, submission("127.0.0.1:2525")},
	{"nodemailer", "node", false, nil, sendNodemailer},
	{"smtplib", "clients", false, nil, python(smtplibScript)},
	{"aiosmtplib", "clients", false, nil, python(aiosmtplibScript)},
	{"net/smtp", "", false, nil, sendGo},
	{"curl", "clients", false, nil, sendCurl},
	{"swaks", "clients", false, nil, sendSwaks},
	{"msmtp", "clients", false, nil, sendMsmtp},
	{"esmtp", "clients", false, nil, sendEsmtp},
	{"s-nail", "clients", false, nil, sendSnail},
}

// startPostfix takes back what netlab sets for its own tests.
func startPostfix(m *machine) (err error) {
	m.postfix, err = netlab.NewPostfix(m.Host, netlab.PostfixOptions{Role: netlab.MSA, Hostname: machineName, Settings: map[string]string{
		"smtp_connect_timeout":            "30s",
		"smtp_connection_cache_on_demand": "yes",
	}})
	return err
}

func startExim(m *machine) error {
	return m.setUp(`
		sed -i "s/^dc_eximconfig_configtype=.*/dc_eximconfig_configtype='internet'/" /etc/exim4/update-exim4.conf.conf
		update-exim4.conf
	`)
}

func startOpenSMTPD(m *machine) error {
	if err := m.image.Write("/etc/smtpd.conf", "listen on socket\naction out relay\nmatch from local for any action out\n"); err != nil {
		return err
	}
	if err := m.serve("smtpd", "/usr/sbin/smtpd", "-d"); err != nil {
		return err
	}
	return m.setUp("until smtpctl show status >/dev/null 2>&1; do sleep 0.2; done")
}

func startCourier(m *machine) error {
	if err := m.setUp(`
		echo msa1.example >/etc/courier/me
		mkdir -p /run/courier/authdaemon
		chown -R courier:courier /run/courier
	`); err != nil {
		return err
	}
	return m.setUp("/usr/sbin/courier start")
}

func startHaraka(m *machine) error {
	// Haraka relays for nobody unless a plugin says so, and takes nothing on port 587 without authentication.
	if err := m.setUp(`
		node /opt/mtas/node_modules/Haraka/bin/haraka -i /opt/haraka
		cd /opt/haraka
		echo msa1.example >config/me
		sed -i '/^;*listen *=/d; 1i listen=127.0.0.1:2525' config/smtp.ini
		printf 'open\n' >config/plugins
		printf 'exports.hook_rcpt = (next, connection) => { connection.relaying = true; next(OK); };\n' >plugins/open.js
	`); err != nil {
		return err
	}
	if err := m.serve("haraka", "node", "/opt/mtas/node_modules/Haraka/bin/haraka", "-c", "/opt/haraka"); err != nil {
		return err
	}
	return m.WaitListening(2525, 3*time.Minute)
}
