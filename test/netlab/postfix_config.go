package netlab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// configure writes main.cf and master.cf.
func (p *Postfix) configure() error {
	settings := p.common()
	switch p.Options.Role {
	case MSA:
		maps.Copy(settings, p.sending())
	case MX:
		maps.Copy(settings, p.receiving())
	}
	maps.Copy(settings, p.Options.Settings)
	if settings["smtpd_tls_security_level"] != "none" {
		pair := filepath.Join(p.configDir(), "tls.pem")
		if err := writeCertificate(pair, p.Options.Hostname); err != nil {
			return err
		}
		settings["smtpd_tls_chain_files"] = pair
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		lines = append(lines, name+" = "+settings[name])
	}
	main := filepath.Join(p.configDir(), "main.cf")
	if err := writeFile(main, lines...); err != nil {
		return err
	}
	// Postfix does not trust a main.cf that is younger than a few seconds to be whole, and waits.
	earlier := time.Now().Add(-time.Minute)
	if err := os.Chtimes(main, earlier, earlier); err != nil {
		return err
	}
	return writeFile(filepath.Join(p.configDir(), "master.cf"), p.services()...)
}

// common are the parameters of every instance: all paths in its folder or in the tools', and no change to mail
// beyond what a relay must do.
func (p *Postfix) common() map[string]string {
	tools := p.Host.lab.tools
	daemons := filepath.Join(tools.root, "usr/lib/postfix")
	return map[string]string{
		"compatibility_level": "3.6",
		"command_directory":   filepath.Join(tools.root, "usr/sbin"),
		"daemon_directory":    filepath.Join(daemons, "sbin"),
		"shlib_directory":     daemons,
		"meta_directory":      p.configDir(),
		"queue_directory":     filepath.Join(p.dir, "queue"),
		"data_directory":      filepath.Join(p.dir, "data"),
		// The daemons get a clean environment, without the path of their libraries, unless it is listed.
		"import_environment":    "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH",
		"maillog_file":          p.LogFile,
		"maillog_file_prefixes": p.dir,
		"enable_long_queue_ids": "yes",

		"myhostname":                   p.Options.Hostname,
		"inet_protocols":               "all",
		"mydestination":                "",
		"alias_maps":                   "",
		"alias_database":               "",
		"local_recipient_maps":         "",
		"mynetworks":                   "127.0.0.0/8 [::1]/128",
		"local_header_rewrite_clients": "", // headers stay as they are

		"message_size_limit":    "0",
		"mailbox_size_limit":    "0",
		"virtual_mailbox_limit": "0",
		"in_flow_delay":         "0",
	}
}

func (p *Postfix) sending() map[string]string {
	level := p.Options.TLS
	if level == "" {
		level = "may"
	}
	return map[string]string{
		"smtpd_tls_security_level":        "none",
		"smtp_tls_security_level":         level,
		"smtp_tls_loglevel":               "1",
		"smtpd_relay_restrictions":        "permit_mynetworks,reject",
		"smtp_connect_timeout":            "5s",
		"smtp_address_preference":         "any",
		"smtp_connection_cache_on_demand": "no",
	}
}

func (p *Postfix) receiving() map[string]string {
	level := p.Options.TLS
	if level == "" {
		level = "none"
	}
	return map[string]string{
		"smtpd_tls_security_level":            level,
		"smtpd_tls_loglevel":                  "1",
		"smtpd_tls_received_header":           "yes",
		"smtpd_relay_restrictions":            "reject_unauth_destination",
		"virtual_mailbox_domains":             "static:all",
		"virtual_mailbox_base":                filepath.Join(p.dir, "store"),
		"virtual_mailbox_maps":                "static:inbox/",
		"virtual_uid_maps":                    fmt.Sprintf("static:%d", vmailID),
		"virtual_gid_maps":                    fmt.Sprintf("static:%d", vmailID),
		"smtpd_client_connection_count_limit": "0",
	}
}

// services is master.cf. Nothing is chrooted: a chrooted client would not see the host's own resolv.conf.
func (p *Postfix) services() []string {
	return append(slices.Concat(p.front(), p.Options.Services),
		"pickup unix n - n 60 1 pickup",
		"cleanup unix n - n - 0 cleanup",
		"qmgr unix n - n 300 1 qmgr",
		"tlsmgr unix - - n 1000? 1 tlsmgr",
		"rewrite unix - - n - - trivial-rewrite",
		"bounce unix - - n - 0 bounce",
		"defer unix - - n - 0 bounce",
		"trace unix - - n - 0 bounce",
		"verify unix - - n - 1 verify",
		"flush unix n - n 1000? 0 flush",
		"proxymap unix - - n - - proxymap",
		"proxywrite unix - - n - 1 proxymap",
		"smtp unix - - n - - smtp",
		"relay unix - - n - - smtp",
		"showq unix n - n - - showq",
		"error unix - - n - - error",
		"retry unix - - n - - error",
		"discard unix - - n - - discard",
		"local unix - n n - - local",
		"virtual unix - n n - - virtual",
		"anvil unix - - n - 1 anvil",
		"scache unix - - n - 1 scache",
		"postlog unix-dgram n - n - 1 postlogd",
	)
}

// front is what meets clients.
func (p *Postfix) front() []string {
	switch {
	case p.Options.Role == MSA:
		return []string{"587 inet n - n - - smtpd"}
	case p.Options.Screen:
		return []string{"25 inet n - n - 1 postscreen", "smtpd pass - - n - - smtpd", "dnsblog unix - - n - 0 dnsblog", "tlsproxy unix - - n - 0 tlsproxy"}
	}
	return []string{"25 inet n - n - - smtpd"}
}

// writeCertificate writes a key and a self-signed certificate for it, as mail servers usually have.
func writeCertificate(path, name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path,
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
}
