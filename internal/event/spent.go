package event

import "time"

// A Spending is what a session spends time on.
type Spending uint8

// What there is. Each moment is one of these, so that they add up to the whole; those from SpentHeld on are taken as a
// whole, whatever is waited for meanwhile.
const (
	SpentByKanmon  Spending = iota // none of the others
	SpentOnMSA                     // waiting for the MSA to say or to read something
	SpentOnMX                      // waiting for a reply of the MX
	SpentOnBodyMSA                 // waiting for more of a message
	SpentOnBodyMX                  // waiting for the MX to take more of a message
	SpentHeld                      // by the gate
	SpentOpening                   // connecting to the MX, its greeting, TLS
	SpentMoving                    // to another sending IP, ahead of any refusal
	SpentRescuing                  // by another sending IP
	SpentResting                   // for the sake of others
	SpentPassing                   // octets through, unseen
	SpendingCount
)

var spendings = [SpendingCount]string{"kanmon", "msa", "mx", "body_msa", "body_mx", "held", "opening", "moving", "rescue", "resting", "passing"}

// String returns the spending as it stands in the records.
func (s Spending) String() string { return spendings[s] }

// Spent is where time has gone.
type Spent [SpendingCount]time.Duration

// ForMX is what went to waiting for an MX that is spoken with.
func (s *Spent) ForMX() time.Duration { return s[SpentOnMX] + s[SpentOnBodyMX] }
