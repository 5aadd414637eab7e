package event

import "kanmon/internal/event/word"

// A TLSCause is why TLS with an MX has failed. What kanmon lacks, and an MSA with OpenSSL may have, is told apart from what the MX does wrong.
type TLSCause uint8

// The causes.
const (
	TLSNoCause           TLSCause = iota // it has not failed
	TLSResumed                           // likewise, and an earlier session was resumed: a held session has no octet to spare for that alone
	TLSNothingInCommon                   // the MX has found no suite, group or signature that Go has as well, or says so of something else (handshake_failure)
	TLSVersion                           // no version in common
	TLSCertificate                       // the MX's certificate is none that Go reads
	TLSClientCertificate                 // the MX wants a certificate of its clients
	TLSRefused                           // STARTTLS, which the MX offers, is refused
	TLSForeign                           // what the MX says behind STARTTLS is no TLS
	TLSSilent                            // no answer in time
	TLSLost                              // the connection was lost
	TLSAlert                             // another alert of the MX
	TLSOtherCause
	TLSCauseCount
)

var tlsCauses = word.List[TLSCause](
	"cause", "", "resumed", "nothing_in_common", "version", "certificate", "client_certificate", "refused", "no_tls", "silent", "lost", "alert", "other",
)

// String returns the cause as it stands in the records.
func (c TLSCause) String() string { return tlsCauses.Text(c) }

// Lacked reports whether an MSA with OpenSSL may have TLS where this is why kanmon has none.
func (c TLSCause) Lacked() bool {
	return c == TLSNothingInCommon || c == TLSVersion || c == TLSCertificate
}
