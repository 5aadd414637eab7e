package contain

import (
	"math"
	"time"
)

// A Bearing is what is counted of a sender here and says something of its next mail, beside its level.
type Bearing struct {
	// Level is the higher of the account's and its tenant's, as it would be if everything were enforced. Of who is exempt it is Normal: a person
	// has said so.
	Level    Level
	Tenant   bool // Level is the tenant's
	Outcomes bool // Level is for outcomes, and not for volume alone

	Unknown, Answered int // the account's recipients of the last hour, since its level was last set
	Distinct          int // its recipients of this hour of the clock, with a standard error of 13 %

	Age, TenantAge time.Duration // since they were heard of first, in all the processes that have kept it
	// Before and TenantBefore are how long the Detector had been there by then.
	Before, TenantBefore time.Duration
}

// Bearing returns it. Who was never heard of is new.
func (d *Detector) Bearing(tenantName, account string) Bearing {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	b := Bearing{Before: d.time.age, TenantBefore: d.time.age}
	t := d.tenant(tenantName)
	if t == nil {
		return b
	}
	d.settle(&t.entry)
	b.TenantAge, b.TenantBefore = d.time.age-t.born, t.born
	a := t.account(account)
	if a != nil {
		d.settle(a)
		d.turnHour(a)
		a.expire(d.time.minute)
		b.Age, b.Before = d.time.age-a.born, a.born
		b.Unknown, b.Answered = int(a.hour.sum[unknown]), int(a.hour.sum[answered])
		b.Distinct = int(math.Round(a.distinct))
	}
	if t.exempt != nil || a != nil && a.exempt != nil {
		return b
	}
	b.Level, b.Tenant, b.Outcomes = t.level, t.level > Normal, t.outcomes
	switch {
	case a == nil || a.level < t.level:
	case a.level > t.level:
		b.Level, b.Tenant, b.Outcomes = a.level, false, a.outcomes
	default:
		b.Tenant, b.Outcomes = false, a.outcomes || t.outcomes
	}
	return b
}
