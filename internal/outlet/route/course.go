package route

import (
	"errors"
	"fmt"
	"net/netip"

	"kanmon/internal/session"
)

// A session connects before it knows whose mail it will carry, and goes on from there as long as that is right. So which sending IP a mail
// leaves from is not what [Router.Choose] gives for all that is known of it in the end, but where its session has got to.

// ErrGreeted is seen in an error of [Router.Course] where the MSA has been greeted: the mail is told.
var ErrGreeted = errors.New("the MSA is greeted")

// Keeps reports whether a mail may go on from a sending IP that its session has: it is of the pool, and where senders decide it is the
// sender's own. What stands against the IP is another question.
func (c *Choice) Keeps(ip netip.Addr) bool {
	return c.Pool == "" || c.Has(ip) && !c.Prefers(ip)
}

// Prefers reports whether the mail must leave from the best IP of its pool, and this is another.
func (c *Choice) Prefers(ip netip.Addr) bool { return c.BySender && c.IP.Address != ip }

// Course returns the choice for the first mail of a session, with the sending IP that the session has got to: from the
// connection, where the MX's provider is known or not, by way of MAIL to the first recipient. It goes by the
// configuration alone, as if nothing stood against any sending IP. The error is that of the first step that has one:
// there the mail ends, but for a connection whose MSA is greeted all the same, and that is made with the mail.
func (r *Router) Course(q Query, providerOfMX string) (Choice, error) {
	at := q
	at.Owner = nil // the mail's may not be the connection's
	at.Sender, at.SenderKnown, at.RecipientDomain, at.Provider = "", false, "", providerOfMX
	choice, err := r.Begin(at)
	if greeted := errors.Is(err, session.ErrNotOnHost) || errors.Is(err, session.ErrNotYet); err != nil && (!greeted || !q.SenderKnown) {
		return choice, err
	}
	steps := [...]bool{q.SenderKnown, q.RecipientDomain != ""}
	for i, known := range steps {
		if !known {
			continue
		}
		if at.Owner, at.Sender, at.SenderKnown = q.Owner, q.Sender, q.SenderKnown; i == 1 {
			at.RecipientDomain = q.RecipientDomain
		}
		if at.Provider == "" && at.RecipientDomain != "" && r.NeedsProvider(at) {
			at.Provider = q.Provider
		}
		next, err := r.Begin(at)
		if err != nil {
			return next, fmt.Errorf("%w: %w", ErrGreeted, err)
		}
		if has := choice.IP; next.Keeps(has.Address) && next.Pool != "" {
			next.IP = has
		}
		choice = next
	}
	return choice, nil
}
