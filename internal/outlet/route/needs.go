package route

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
