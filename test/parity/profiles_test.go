package parity

import (
	"os"
	"slices"
)

// A profile is an MX of a kind.
type profile struct {
	name        string
	certificate string // of certificates; "": none
	settings    string // of openssl s_server
	sample      bool   // also where not the whole corpus runs
	server      string // "": openssl s_server; else another one of servers, by the name
}

// The profiles. What they have in common, and OpenSSL by itself does not allow, is in openssl.go: every key size, every version.
var profiles = []profile{
	{name: "usual: RSA 2048, TLS 1.3", certificate: "rsa2048", sample: true},

	// Versions.
	{name: "TLS 1.3 only", certificate: "rsa2048", settings: "-tls1_3"},
	{name: "TLS 1.2 only", certificate: "rsa2048", settings: "-tls1_2"},
	{name: "TLS 1.1 only", certificate: "rsa2048", settings: "-tls1_1"},
	{name: "TLS 1.0 only", certificate: "rsa2048", settings: "-tls1", sample: true},
	{name: "TLS 1.0 only, ECDSA P-256", certificate: "p256", settings: "-tls1"},

	// Keys of certificates.
	{name: "RSA 512", certificate: "rsa512", settings: "-tls1_2 -sigalgs RSA+SHA256", sample: true},
	{name: "RSA 1024", certificate: "rsa1024"},
	{name: "RSA 4096", certificate: "rsa4096"},
	{name: "RSA 8192", certificate: "rsa8192"},
	{name: "RSA 10240", certificate: "rsa10240"},
	{name: "ECDSA P-256", certificate: "p256"},
	{name: "ECDSA P-384", certificate: "p384"},
	{name: "ECDSA P-521", certificate: "p521", sample: true},
	{name: "ECDSA brainpoolP256r1", certificate: "brainpool"},
	{name: "ECDSA secp256k1", certificate: "secp256k1"},
	{name: "ECDSA secp224r1, TLS 1.2", certificate: "secp224r1", settings: "-tls1_2"},
	{name: "Ed25519", certificate: "ed25519"},
	{name: "Ed448", certificate: "ed448", sample: true},
	{name: "RSA-PSS key", certificate: "rsapss", sample: true},
	{name: "DSA 2048, TLS 1.2", certificate: "dsa2048", settings: "-tls1_2"},
	{name: "RSA, and beside it an RSA-PSS key", certificate: "rsa2048", settings: "-dcert rsapss.crt -dkey rsapss.key"},

	// What certificates say.
	{name: "signed with SHA-1", certificate: "sha1"},
	{name: "signed with MD5", certificate: "md5"},
	{name: "signed with RSA-PSS", certificate: "pss"},
	{name: "negative serial number", certificate: "negative", sample: true},
	{name: "expired", certificate: "expired", sample: true},
	{name: "not valid yet", certificate: "early"},
	{name: "self-signed, no name in it", certificate: "nameless"},
	{name: "a character in PrintableString that does not belong there", certificate: "printable", sample: true},
	{name: "an IP address of five octets", certificate: "address"},
	{name: "a name that is no ASCII", certificate: "ascii"},
	{name: "an extension twice", certificate: "twice"},
	{name: "a name with an underscore and a dot at its end", certificate: "dotted"},
	{name: "version 1", certificate: "version1"},
	{name: "chain of 20 certificates", certificate: "p256", settings: "-cert_chain chain.crt"},
	{name: "a certificate of the chain that Go cannot read", certificate: "p256", settings: "-cert_chain printable.crt"},

	// No certificate.
	{name: "no certificate, AECDH", settings: "-nocert -tls1_2 -cipher AECDH:@SECLEVEL=0", sample: true},
	{name: "no certificate, ADH", settings: "-nocert -tls1_2 -cipher ADH:@SECLEVEL=0"},

	// Cipher suites.
	{name: "DHE only", certificate: "rsa2048", settings: "-tls1_2 -cipher DHE:@SECLEVEL=0", sample: true},
	{name: "DHE only, TLS 1.0", certificate: "rsa2048", settings: "-tls1 -cipher DHE:@SECLEVEL=0"},
	{name: "RSA key exchange only, AES-CBC", certificate: "rsa2048", settings: "-tls1_2 -cipher AES128-SHA:@SECLEVEL=0", sample: true},
	{name: "RSA key exchange only, AES-GCM", certificate: "rsa2048", settings: "-tls1_2 -cipher AES256-GCM-SHA384:@SECLEVEL=0"},
	{name: "RSA key exchange only, AES256-SHA256", certificate: "rsa2048", settings: "-tls1_2 -cipher AES256-SHA256:@SECLEVEL=0"},
	{name: "ECDHE, AES256-SHA384 only", certificate: "rsa2048", settings: "-tls1_2 -cipher ECDHE-RSA-AES256-SHA384:@SECLEVEL=0"},
	{name: "ECDHE, AES256-SHA only", certificate: "rsa2048", settings: "-tls1_2 -cipher ECDHE-RSA-AES256-SHA:@SECLEVEL=0"},
	{name: "ChaCha20 only", certificate: "rsa2048", settings: "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305:@SECLEVEL=0"},
	{name: "CCM only", certificate: "p256", settings: "-tls1_2 -cipher ECDHE-ECDSA-AES128-CCM:@SECLEVEL=0"},
	{name: "CCM only, TLS 1.3", certificate: "p256", settings: "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256"},
	{name: "Camellia only", certificate: "rsa2048", settings: "-tls1_2 -cipher CAMELLIA:@SECLEVEL=0"},
	{name: "ARIA only", certificate: "rsa2048", settings: "-tls1_2 -cipher ARIA:@SECLEVEL=0"},

	// Groups.
	{name: "P-521 only", certificate: "rsa2048", settings: "-curves P-521"},
	{name: "P-384 only, TLS 1.3: HelloRetryRequest", certificate: "rsa2048", settings: "-tls1_3 -curves P-384", sample: true},
	{name: "X448 only", certificate: "rsa2048", settings: "-curves X448", sample: true},
	{name: "X448 only, TLS 1.2, and RSA key exchange", certificate: "rsa2048", settings: "-tls1_2 -curves X448"},
	{name: "ffdhe2048 only, TLS 1.3", certificate: "rsa2048", settings: "-tls1_3 -curves ffdhe2048"},
	{name: "ffdhe2048 only, all versions", certificate: "rsa2048", settings: "-curves ffdhe2048"},
	{name: "brainpoolP256r1 only", certificate: "rsa2048", settings: "-tls1_2 -curves brainpoolP256r1 -cipher ECDHE:@SECLEVEL=0"},

	// Signatures in the handshake.
	{name: "SHA-1 signatures only, TLS 1.2", certificate: "rsa2048", settings: "-tls1_2 -sigalgs RSA+SHA1", sample: true},
	{name: "SHA-1 signatures only, ECDSA", certificate: "p256", settings: "-tls1_2 -sigalgs ECDSA+SHA1"},
	{name: "SHA-224 signatures only, TLS 1.2", certificate: "rsa2048", settings: "-tls1_2 -sigalgs RSA+SHA224 -cipher ECDHE:@SECLEVEL=0"},
	{name: "SHA-512 signatures only", certificate: "p256", settings: "-tls1_2 -sigalgs ECDSA+SHA512"},

	// The rest of the protocol.
	{name: "asks for a client certificate", certificate: "rsa2048", settings: "-verify 1", sample: true},
	{name: "asks for a client certificate, TLS 1.2", certificate: "rsa2048", settings: "-tls1_2 -verify 1"},
	{name: "must have a client certificate", certificate: "rsa2048", settings: "-Verify 1 -verify_return_error"},
	{name: "records of 512 octets", certificate: "rsa2048", settings: "-max_send_frag 512"},
	{name: "no tickets", certificate: "rsa2048", settings: "-no_ticket -num_tickets 0"},
	{name: "no tickets, no cache, TLS 1.2", certificate: "rsa2048", settings: "-tls1_2 -no_ticket -no_cache"},
	{name: "no encrypt-then-MAC, CBC", certificate: "rsa2048", settings: "-tls1_2 -no_etm -cipher ECDHE-RSA-AES128-SHA:@SECLEVEL=0"},
	{name: "its own order of suites", certificate: "rsa2048", settings: "-serverpref"},

	// Other servers.
	{name: "Postfix, as it comes", server: "postfix", sample: true},
	{name: "Postfix without a certificate", server: "postfix", settings: "smtpd_tls_chain_files= smtpd_tls_cert_file=none smtpd_tls_protocols=<=TLSv1.2"},
	{name: "Postfix, smtpd_tls_protocols = TLSv1", server: "postfix", settings: "smtpd_tls_protocols=TLSv1"},
	{name: "Postfix, smtpd_tls_protocols = !TLSv1.3, smtpd_tls_exclude_ciphers = kEECDH, kRSA", server: "postfix", settings: "smtpd_tls_chain_files=rsa smtpd_tls_protocols=!TLSv1.3 smtpd_tls_exclude_ciphers=kEECDH,kRSA"},
	{name: "Postfix, smtpd_tls_ciphers = high, tls_preempt_cipherlist", server: "postfix", settings: "smtpd_tls_ciphers=high tls_preempt_cipherlist=yes"},
	{name: "Postfix, smtpd_tls_ask_ccert", server: "postfix", settings: "smtpd_tls_ask_ccert=yes"},
	{name: "Exim with GnuTLS, as it comes", server: "exim", settings: "NORMAL"},
	{name: "Exim with GnuTLS, SECURE192", server: "exim", settings: "SECURE192"},
	{name: "Exim with GnuTLS, TLS 1.0 only", server: "exim", settings: "NORMAL:-VERS-ALL:+VERS-TLS1.0"},
	{name: "Exim with GnuTLS, DHE only", server: "exim", settings: "NORMAL:-VERS-TLS1.3:-KX-ALL:+DHE-RSA"},
	{name: "Exim with GnuTLS, groups FFDHE only", server: "exim", settings: "NORMAL:-GROUP-ALL:+GROUP-FFDHE2048"},
	{name: "Exim with GnuTLS, no extended master secret", server: "exim", settings: "NORMAL:-VERS-TLS1.3:%NO_SESSION_HASH"},
	{name: "sendmail, as it comes", server: "sendmail"},
}

// corpus is what runs.
func corpus() []profile {
	if os.Getenv("KANMON_PARITY") == "full" {
		return profiles
	}
	return slices.DeleteFunc(slices.Clone(profiles), func(p profile) bool { return !p.sample })
}
