package route

import (
	"errors"
	"net/netip"
	"slices"

	"kanmon/internal/session"
)

// Begin is Choose for a mail of which more will be known. Where that has no sending IP of the destination's family, which is as much as that the MX cannot be
// reached, what is not known yet may say otherwise: a reset would keep mail from its MX that has a way there.
//
//   - As long as nobody knows the sender: [session.ErrNotYet] is seen where the mail of some sender may have a way, so that its MSA is greeted.
//   - Behind that, as long as nobody knows the recipient: a route that goes by recipients, and has a way, may be this mail's. MAIL is said from there, and
//     the mail goes on, or moves, or not, with its first recipient.
func (r *Router) Begin(q Query) (Choice, error) {
	choice, err := r.Choose(q)
	if !errors.Is(err, session.ErrNoSendingIP) || q.Pool != "" || q.RecipientDomain != "" {
		return choice, err
	}
	f := r.factsOf(&q)
	if !q.SenderKnown {
		if r.someoneMayLeave(&f) {
			err = session.ErrNotYet
		}
		return choice, err
	}
	if i, open := r.mayMatch(&f, needRecipient); open {
		err = r.take(&choice, &f, i)
	}
	return choice, err
}

// someoneMayLeave reports whether the mail of any sender may have a way: of those behind the same MSA, whoever's they are.
func (r *Router) someoneMayLeave(f *facts) bool {
	who := []int{f.tenant.number}
	for _, name := range r.whose.Behind(f.Source, f.Port) {
		who = append(who, slices.IndexFunc(r.tenants, func(t tenant) bool { return t.name == name && !t.isNobody() }))
	}
	for _, i := range who {
		f.tenant = &r.tenants[max(i, 0)]
		if _, open := r.mayMatch(f, needSender|needRecipient); open {
			return true
		}
		if !f.tenant.isNobody() && r.mayFallBack(f) {
			return true
		}
	}
	return false
}

// mayMatch gives the first route with a sending IP of the destination's family, here, that matches once no more than this is known.
func (r *Router) mayMatch(f *facts, later condition) (i int, open bool) {
	for i := range r.routes {
		v, _, missing := r.routes[i].test(f)
		p := r.routes[i].pool
		if p == nil {
			p = f.tenant.pool
		}
		switch {
		case v == fails, missing&^later != 0:
		case p.reaches(f.destination, r.absent.now()):
			return i, true
		case v == matches:
			return 0, false
		}
	}
	return 0, false
}

// mayFallBack reports whether the tenant's own pool has one, and a mail of its may get that.
func (r *Router) mayFallBack(f *facts) bool {
	matched := slices.ContainsFunc(r.routes, func(of route) bool {
		v, _, _ := of.test(f)
		return v == matches
	})
	return !matched && f.tenant.pool.reaches(f.destination, r.absent.now())
}

// reaches reports whether this host has a sending IP of the pool and the destination's family.
func (p *addressPool) reaches(destination netip.Addr, absent map[netip.Addr]struct{}) bool {
	return p.of(destination).hasAny(absent)
}
