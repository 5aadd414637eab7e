package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Roots reads the authorities that may vouch for an MX and for a policy's host from a file (PEM); "": this host's. Without any all would be
// refused, so there are some, or an error.
func Roots(file string) (roots *x509.CertPool, err error) {
	if file == "" {
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("this host's roots: %w: install ca-certificates, or set tls_policy.roots", err)
		}
		if roots.Equal(x509.NewCertPool()) {
			return nil, errors.New("this host has no roots, so no MX could prove its name: install ca-certificates, or set tls_policy.roots")
		}
		return roots, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("tls_policy.roots: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls_policy.roots: %s has no certificate: want one or several in PEM", file)
	}
	return roots, nil
}
