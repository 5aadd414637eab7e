// Package parity compares the TLS of kanmon with that of an MSA that has OpenSSL: one mail from real Postfix directly, and one through the
// real program, to each MX of a corpus. Most MXs are openssl s_server behind a few words of SMTP, so that every setting of OpenSSL can be had;
// the others are Postfix, Exim with GnuTLS, and sendmail. What kanmon sends in plain text, and Postfix does not, stands in docs/ref/tls.md: no
// more than that, and no less.
//
// A sample runs in `make test`; `make tls-parity` runs all of it.
package parity

import (
	"os"
	"testing"

	"kanmon/test/netlab"
)

func TestMain(m *testing.M) {
	code, done := netlab.Isolate()
	if !done {
		code = m.Run()
	}
	os.Exit(code)
}
