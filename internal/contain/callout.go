package contain

// Callouts are counted apart from everything else: they lead to no level. They are shown, since receivers list hosts that ask much.

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

// Callout counts a callout.
func (d *Detector) Callout(c Callout) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	t := d.tenantFor(c.Tenant, false)
	if t == nil {
		d.unknown++
		return
	}
	t.calls.turn(d.time.minute / 60)
	t.calls.asked[0]++
	if c.Dead {
		t.calls.dead[0]++
	}
}

// Callouts gives how many recipients a tenant has asked for with the null sender and no message, in this hour and the one before, and how
// many of them do not exist.
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
