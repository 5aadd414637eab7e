package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/policy"
)

// warmUpsOf gives the sending IPs that are to warm up.
func warmUpsOf(cfg *config.Config) (list []warm.Member) {
	plans := map[string]*warm.Plan{}
	for i := range cfg.SendingIPs {
		ip := &cfg.SendingIPs[i]
		if !ip.Warms() {
			continue
		}
		name := ip.WarmUp.Plan
		if plans[name] == nil {
			plan := &warm.Plan{Name: name}
			for _, day := range cfg.WarmUpPlan(ip).Days {
				plan.Steps = append(plan.Steps, warm.Step{Share: day.Share, Provider: day.Provider, Others: day.Others})
			}
			plans[name] = plan
		}
		list = append(list, warm.Member{IP: ip.Address, Start: warm.DayOf(ip.WarmUp.Start), Plan: plans[name]})
	}
	return list
}

// tellWarm tells of a step of a sending IP that warms up.
func (d *Daemon) tellWarm(n warm.News) {
	changed := event.Changed{IP: n.IP.IP, State: admin.Warming, By: byWarmUp}
	step := fmt.Sprintf("step %d of %d", min(n.IP.Step, n.Steps), n.Steps)
	switch n.Kind {
	case warm.Began:
		changed.Why = step + " begins"
	case warm.Repeated:
		changed.Why = step + " is repeated"
	case warm.Ended:
		changed.State, changed.Was, changed.Why = standing.Active.String(), admin.Warming, "warm"
	}
	if n.Why != "" {
		changed.Why += ": " + n.Why
	}
	d.stream.Tell(changed)
}

// byWarmUp is who has decided it, as [standing.ByEvidence].
const byWarmUp = "warm_up"

// warming gives the sending IPs that warm up as they stand in the list of standings.
func (o *operator) warming(ip netip.Addr) (all []admin.Standing) {
	book := o.d.outlets.Warming()
	for _, e := range book.List() {
		if e.Done || ip.IsValid() && e.IP != ip {
			continue
		}
		s := admin.Standing{IP: e.IP, State: admin.Warming, Share: e.Shared(), By: byWarmUp, Reason: e.Words()}
		if e.Begun != 0 {
			s.Since = e.Begun.Time()
		}
		if ends, _ := e.Projected(book.Today()); ends != 0 {
			s.Until = ends.Time()
		}
		all = append(all, s)
	}
	return all
}

// WarmUps implements [admin.SendingIPs].
func (o *operator) WarmUps(ip netip.Addr) (all []admin.WarmUp, err error) {
	if ip.IsValid() && !o.configured(ip) {
		return nil, unknownIP(ip)
	}
	book := o.d.outlets.Warming()
	for _, e := range book.List() {
		if !ip.IsValid() || e.IP == ip {
			all = append(all, shownWarmUp(&e, book.Today()))
		}
	}
	if ip.IsValid() && len(all) == 0 {
		return nil, fmt.Errorf("%s has no warm_up in the configuration: it takes its whole part of the mail", ip)
	}
	return all, nil
}

func shownWarmUp(e *warm.Entry, today warm.Day) admin.WarmUp {
	u := admin.WarmUp{
		IP: e.IP, State: admin.Warming, Plan: e.Plan.Name, Step: e.Step, Steps: len(e.Plan.Steps), Share: e.Shared(), Begun: e.Begun.String(),
		Since: e.Since.String(), Repeats: e.Repeats, Why: e.Why, Finding: e.Finding, Used: e.Used.String(),
	}
	ends, note := e.Projected(today)
	u.Ends, u.Note = ends.String(), note
	switch {
	case e.Done:
		u.State = admin.Warm
		return u
	case e.Step == 0:
		u.State = admin.Waiting
		return u
	}
	lines, mails, amount := e.Today()
	u.Mails, u.Amount = mails, amount
	for _, l := range lines {
		c := admin.WarmUpClass{
			Provider: l.Name, Step: l.Step, Mails: l.Taken, Amount: l.Amount, Over: l.Over, Tried: l.Tried, Accepted: l.Accepted, Finding: l.Finding,
		}
		if time.Now().Before(l.Until) {
			c.Rests = l.Until
		}
		u.Classes = append(u.Classes, c)
	}
	return u
}

// WarmUp implements [admin.SendingIPs].
func (o *operator) WarmUp(ip netip.Addr, order admin.WarmUpOrder, who string) error {
	if !o.configured(ip) {
		return unknownIP(ip)
	}
	book := o.d.outlets.Warming()
	before, found := book.Get(ip)
	if !found {
		return fmt.Errorf("%s has no warm_up in the configuration: add warm_up = { start = %s } to its [[sending_ip]], then: kanmon reload", ip, book.Today())
	}
	step := order.Step
	switch steps := len(before.Plan.Steps); {
	case order.Finish:
		step = steps + 1
	case step > steps:
		return fmt.Errorf("the plan %s has %d steps; --finish ends the warm-up", before.Plan.Name, steps)
	}
	err := book.GoTo(ip, step, order.Reason)
	if err != nil && !errors.Is(err, warm.ErrNotKept) {
		return err
	}
	after, _ := book.Get(ip)
	change := policy.Change{Did: "warm_up", By: who, Why: order.Reason, IP: ip, Before: before.Words(), After: after.Words()}
	if unkept := o.d.policy.AuditOrder(change); unkept != nil {
		err = errors.Join(err, unkept)
	}
	if err != nil {
		return &admin.Error{Status: http.StatusInternalServerError, Err: err}
	}
	return nil
}
