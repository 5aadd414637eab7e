package event

import "time"

// A Phase is a step of a session in which kanmon waits for somebody. Every error and every timing names its phase.
type Phase uint8

// The phases, in the order a session walks through them. The S-numbers are those of the state × event table
// in docs/engine.md.
const (
	PhaseDial      Phase = iota // S0 connecting to the MX
	PhaseBanner                 // S1 waiting for the MX's 220
	PhaseEHLO                   // S2 EHLO or HELO, before TLS
	PhaseStartTLS               // S2 STARTTLS sent, waiting for its 220
	PhaseHandshake              // S2 TLS handshake
	PhaseEHLOTLS                // S2 EHLO after TLS
	PhaseIdle                   // waiting for the MSA's next command
	PhaseMail                   // S3
	PhaseRcpt                   // S4
	PhaseData                   // S5 DATA sent, waiting for 354
	PhaseBody                   // S6 the body flows
	PhaseDot                    // S7 the dot is sent
	PhaseReset                  // RSET, NOOP and other commands that carry no mail
	PhaseQuit                   // S9
	PhaseCount
)

// A phaseRow is all that is said of a phase: its name and key, how long each wait in it may take, and how long an operator may make that.
type phaseRow struct {
	name    string
	timeout time.Duration // the default: RFC 5321 §4.5.3.2 minimums or longer
	least   time.Duration
	most    time.Duration
	why     string // it may not be shorter
	whole   bool   // it counts from when the MSA began to wait, and not only from the wait for the MX
}

const (
	section = "RFC 5321 section 4.5.3.2"
	usual   = "busy MXs take their time"
	trips   = "a connection takes several round trips"
	coming  = "the MX's answer is still to come"
)

var phaseTable = [PhaseCount]phaseRow{
	PhaseDial:      {"dial", 30 * time.Second, time.Second, 30 * time.Second, trips, false}, // as Postfix smtp_connect_timeout
	PhaseBanner:    {"banner", 5 * time.Minute, 5 * time.Minute, time.Hour, section + ".1, initial 220 message", true},
	PhaseEHLO:      {"ehlo", 5 * time.Minute, time.Minute, time.Hour, usual, true},
	PhaseStartTLS:  {"starttls", time.Minute, 10 * time.Second, time.Hour, usual, false}, // then plain text, while the MSA still waits for its EHLO
	PhaseHandshake: {"handshake", time.Minute, 10 * time.Second, 10 * time.Minute, usual, false},
	PhaseEHLOTLS:   {"ehlo_tls", 5 * time.Minute, time.Minute, time.Hour, usual, true},
	PhaseIdle:      {"idle", 5 * time.Minute, 5 * time.Minute, time.Hour, section + ".7, server timeout", false},
	PhaseMail:      {"mail", 5 * time.Minute, 5 * time.Minute, time.Hour, section + ".2, MAIL command", true},
	PhaseRcpt:      {"rcpt", 5 * time.Minute, 5 * time.Minute, time.Hour, section + ".3, RCPT command", true},
	PhaseData:      {"data", 2 * time.Minute, 2 * time.Minute, time.Hour, section + ".4, DATA initiation", true},
	PhaseBody:      {"body", 3 * time.Minute, 3 * time.Minute, time.Hour, section + ".5, data block", false},
	PhaseDot:       {"dot", 15 * time.Minute, 10 * time.Minute, 2 * time.Hour, section + ".6, DATA termination", false}, // never before the MSA gives up
	PhaseReset:     {"reset", 5 * time.Minute, time.Minute, time.Hour, usual, true},
	PhaseQuit:      {"quit", 5 * time.Second, time.Second, 5 * time.Minute, coming, false},
}

// DefaultTimeout is how long each wait in the phase may take where nothing else is set.
func (p Phase) DefaultTimeout() time.Duration { return phaseTable[p].timeout }

// Bounds returns the least and the most that the timeout may be set to, and why it may not be shorter.
func (p Phase) Bounds() (least, most time.Duration, why string) {
	row := &phaseTable[p]
	return row.least, row.most, row.why
}

// FromBegin reports whether that time counts from when the MSA began to wait, and not only from the wait for the MX.
func (p Phase) FromBegin() bool { return phaseTable[p].whole }

// String returns the phase's name as it stands in logs, records and configuration.
func (p Phase) String() string {
	if p >= PhaseCount {
		return "unknown"
	}
	return phaseTable[p].name
}

// PhaseNames returns the names of all phases, in order.
func PhaseNames() (names []string) {
	for _, row := range phaseTable {
		names = append(names, row.name)
	}
	return names
}

// ParsePhase finds a phase by its name.
func ParsePhase(name string) (p Phase, ok bool) {
	for p = range PhaseCount {
		if phaseTable[p].name == name {
			return p, true
		}
	}
	return p, false
}
