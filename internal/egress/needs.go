package egress

// The choice is made when a connection is opened, and again when MAIL and RCPT tell more. These say when that can be left
// out, so that a session pays for no more than the routes ask.

// NeedsSender reports whether the choice can be another one once the sender is known.
func (r *Router) NeedsSender(q Query) bool {
	if q.SenderKnown {
		return false
	}
	f := r.factsOf(&q)
	if r.tenants.shared.find(q.Source.Unmap()) != nobody {
		return true // it can be another tenant's
	}
	return r.reaches(&f, func(p *addressPool, missing condition) bool {
		return missing&needSender != 0 || p != nil && p.BySender && len(p.of(f.destination).list) > 1
	})
}

// NeedsRecipient reports whether a route can match once the recipient's domain and its provider are known. Ask it again
// when the sender is.
func (r *Router) NeedsRecipient(q Query) bool {
	f := r.factsOf(&q)
	return r.reaches(&f, func(_ *addressPool, missing condition) bool { return missing&needRecipient != 0 })
}

// NeedsProvider reports whether a route can match once the provider is known: whether a lookup may cost a session time.
// Query.Provider is "".
func (r *Router) NeedsProvider(q Query) bool {
	f := r.factsOf(&q)
	for i := range r.routes {
		v, failed, missing := r.routes[i].test(&f)
		switch {
		case v == matches:
			return false
		case v == open && missing&byProvider != 0, failed == byProvider && f.Provider == "":
			return true
		}
	}
	return false
}

// reaches reports whether the predicate holds for a pool that the mail may still get, with what is missing for it.
func (r *Router) reaches(f *facts, is func(*addressPool, condition) bool) bool {
	for i := range r.routes {
		v, _, missing := r.routes[i].test(f)
		pool := r.routes[i].pool
		if r.routes[i].Pool == "" {
			pool = r.poolWithout(f)
		}
		if v != fails && is(pool, missing) {
			return true
		}
		if v == matches {
			return false
		}
	}
	return is(r.poolWithout(f), 0)
}
