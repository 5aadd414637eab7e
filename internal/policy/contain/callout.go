package contain

// Callouts are counted apart from everything else: they lead to no level. They are shown, since receivers list hosts
// that ask much. There is a bound to that: who would look which addresses exist could ask in the same way.

// mostDeadCallouts is how many recipients who do not exist a tenant may have asked for in this hour and the one before. What goes
// beyond is told as of any mail.
const mostDeadCallouts = 300

// calls are a tenant's callouts in this hour and the one before.
type calls struct {
	asked, dead [2]uint32 // this hour, the one before
	hour        int32
}

// turn begins a new hour.
func (c *calls) turn(hour int32) {
	switch hour - c.hour {
	case 0:
		return
	case 1:
		c.asked[1], c.dead[1] = c.asked[0], c.dead[0]
	default:
		c.asked[1], c.dead[1] = 0, 0
	}
	c.asked[0], c.dead[0], c.hour = 0, 0, hour
}

// Callout counts a callout, and reports whether that is all that it is: beyond the bound it is evidence as any mail's.
func (d *Detector) Callout(c Callout) (apart bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	t := d.tenantFor(c.Tenant, false)
	if t == nil {
		d.unknown++
		return true
	}
	t.calls.turn(d.time.minute / 60)
	t.calls.asked[0]++
	if c.Dead {
		t.calls.dead[0]++
	}
	return t.calls.dead[0]+t.calls.dead[1] <= mostDeadCallouts
}

// Callouts returns how many recipients a tenant has asked for with the null sender, or that of a program that verifies,
// and no message, in this hour and the one before, and how many of them do not exist.
func (d *Detector) Callouts(tenant string) (asked, dead int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	t := d.tenant(tenant)
	if t == nil {
		return 0, 0
	}
	t.calls.turn(d.time.minute / 60)
	return int(t.calls.asked[0] + t.calls.asked[1]), int(t.calls.dead[0] + t.calls.dead[1])
}
