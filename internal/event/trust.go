package event

import (
	"time"

	"kanmon/internal/event/word"
)

// A Trust is what a recipient's domain asks of the TLS with its MX, and what came of that. It is the same for all recipients of the
// domain in a transaction, and never changes.
type Trust struct {
	Domain     string // the recipient's, as package mailbox gives it
	Policy     TrustPolicy
	Verdict    TrustVerdict
	Why        TrustReason   // of what has not passed, or would not
	Name       string        // MX name that the chain proved, or was to prove: not sanitised
	ServerName string        // that was shown to the MX in the handshake; "": none
	Detail     string        // for people: what exactly, not sanitised
	Age        time.Duration // of the policy, since it was fetched or looked up
	Waited     Micros        // that its recipient waited for it
}

// A TrustPolicy is what is asked of the MX, and by whom.
type TrustPolicy uint8

// The policies.
const (
	TrustUnasked    TrustPolicy = iota // nobody has looked
	TrustNone                          // the domain has none: that was answered
	TrustUnknown                       // no answer was there in time
	TrustTesting                       // MTA-STS, mode testing (RFC 8461 section 5)
	TrustSTS                           // MTA-STS, mode enforce
	TrustDANE                          // DANE (RFC 7672)
	TrustEncrypted                     // TLSA records that nobody can use: TLS is asked, nobody has to prove a name (RFC 7672 section 2.2)
	TrustNamed                         // the operator has named who the MX must be
	TrustExempt                        // the operator has exempted the domain, or the sender
	TrustOverridden                    // the operator's word for the destination comes before the domain's
	TrustPolicyCount
)

var trustPolicies = word.List[TrustPolicy]("TLS policy", "", "none", "unknown", "sts_testing", "sts", "dane", "encrypted", "named", "exempt", "overridden")

// String returns the policy as it stands in the records.
func (p TrustPolicy) String() string { return trustPolicies.Text(p) }

// UnmarshalText reads a policy.
func (p *TrustPolicy) UnmarshalText(text []byte) error { return trustPolicies.Read(text, p) }

// Words returns the policies.
func (TrustPolicy) Words() []string { return trustPolicies.Words() }

// A TrustVerdict is what came of a policy.
type TrustVerdict uint8

// The verdicts.
const (
	TrustUnjudged    TrustVerdict = iota // there was nothing to be judged
	TrustPassed                          // the MX has proved what is asked
	TrustRefused                         // it has not: the recipient was not named to it
	TrustWouldRefuse                     // it has not, and nothing was done about it: mode observe, or a policy that is being tested
	TrustVerdictCount
)

var trustVerdicts = word.List[TrustVerdict]("TLS verdict", "", "passed", "refused", "would_refuse")

// String returns the verdict as it stands in the records.
func (v TrustVerdict) String() string { return trustVerdicts.Text(v) }

// UnmarshalText reads a verdict.
func (v *TrustVerdict) UnmarshalText(text []byte) error { return trustVerdicts.Read(text, v) }

// Words returns the verdicts.
func (TrustVerdict) Words() []string { return trustVerdicts.Words() }

// A TrustReason is why an MX has not proved what is asked of it: in the words of RFC 8460 section 4.3, and in ours where it has none.
type TrustReason uint8

// The reasons.
const (
	TrustWhyNot       TrustReason = iota
	NoStartTLS                    // not offered, or refused
	HostMismatch                  // the certificate is for another name
	NotTrusted                    // no chain to a root that counts
	Expired                       // the certificate, or one above it
	ValidationFailure             // what the standard has no word for
	FetchError                    // the policy's host did not give it
	PolicyInvalid                 // it gave something else
	WebPKIInvalid                 // the policy's host did not prove its name
	TLSAInvalid                   // no TLSA record matches
	DNSSECInvalid                 // the resolver says that the records are bogus
	DANERequired                  // an MX without usable TLSA records where they must be
	NotInPolicy                   // the MX's name is in no pattern of the policy; RFC 8460 has "validation-failure" for it
	NoMX                          // no MX of the domain: a smart host, or an address that is not theirs any more
	DNSFailed                     // DNS gave no answer, so nobody knows what is asked
	TooOld                        // TLS 1.1 or older
	NoCipher                      // no cipher that Go has: our own lack
	AnotherName                   // it must be asked under another name, and the mail has begun: the next attempt is the first
	NoTime                        // there was no time for another connection
	UnreadableRcpt                // the recipient's domain cannot be read, so nobody knows what is asked
	TrustReasonCount
)

var trustReasons = word.List[TrustReason](
	"TLS reason", "", "starttls-not-supported", "certificate-host-mismatch", "certificate-not-trusted", "certificate-expired", "validation-failure",
	"sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid", "tlsa-invalid", "dnssec-invalid", "dane-required", "mx-not-in-policy",
	"not-an-mx", "dns-failed", "tls-too-old", "no-common-cipher", "another-name", "no-time",
	"recipient-unreadable",
)

// String returns the reason as it stands in the records.
func (r TrustReason) String() string { return trustReasons.Text(r) }

// UnmarshalText reads a reason.
func (r *TrustReason) UnmarshalText(text []byte) error { return trustReasons.Read(text, r) }

// Words returns the reasons.
func (TrustReason) Words() []string { return trustReasons.Words() }

// Standard returns the word of RFC 8460 section 4.3; "" for what is our own, and nobody is told of in a report.
func (r TrustReason) Standard() string {
	switch {
	case r == TrustWhyNot, r > NotInPolicy && r != TooOld:
		return ""
	case r == NotInPolicy, r == TooOld:
		return ValidationFailure.String()
	}
	return r.String()
}
