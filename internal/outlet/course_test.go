package outlet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
)

// Where `kanmon explain` says that a mail leaves from is where it leaves from, over random configurations: it goes from the connection by
// way of MAIL to the first recipient as a session does.
//
// audit-D7
func TestTheCourseOfAMailIsWhatASessionDoes(t *testing.T) {
	const configurations = 1000
	o := newOutlet(t, sending("203.0.113.10", "203.0.113.11", "203.0.113.12", "203.0.113.13"))
	random := rand.New(rand.NewPCG(3, 4))
	moved, ended := 0, 0
	for n := range configurations {
		config := randomRoutes(random)
		router, err := route.NewRouter(config)
		if err != nil {
			t.Fatal(err)
		}
		o.router, o.handlings, o.ways = router, make([]Handling, len(config.Routes)+1), map[caller]*way{}
		for range 4 {
			req := request{
				Source: netip.AddrFrom4([4]byte{10, 20, byte(random.IntN(3)), byte(random.IntN(4))}), Destination: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(200))}), 25),
			}
			q := route.Query{
				Source: req.Source, Destination: req.Destination, Suspicion: -1, SenderKnown: true, Sender: "x@" + oneOf(random, senderDomains),
				RecipientDomain: oneOf(random, recipientDomains),
			}
			q.Provider = o.providers.Of(q.RecipientDomain)
			done, moves, failed := o.follow(req, q.Sender, "r@"+q.RecipientDomain)
			said, err := router.Course(q, "")
			switch {
			case (err != nil) != failed:
				t.Errorf("configuration %d, %+v: error %v, done %s", n, q, err, done)
			case err != nil:
				ended++
			case said.IP.Address != done:
				t.Errorf("configuration %d, %+v: said %s, done %s\n%+v", n, q, said.IP.Address, done, config)
			}
			moved += moves
			_, taught := router.Course(q, q.Provider)
			if own, none := router.Choose(q); none == nil && (failed || taught != nil) { // what is known before keeps a mail from nothing
				t.Errorf("configuration %d, %+v: there is a way from %v, done %v, with an MX that is known %v", n, q, own.IP.Address, err, taught)
			}
		}
	}
	t.Logf("%d configurations: wrong 0, moved %d, without a way out %d", configurations, moved, ended)
	if moved == 0 {
		t.Error("no mail has moved")
	}
}

// What an MX has done without a word is no word about our IP's reputation.
//
// audit-D9
func TestSilenceIsNotCalledReputation(t *testing.T) {
	o := newOutlet(t, twoIPs)
	for phase, want := range map[event.Phase]event.Class{event.PhaseDial: event.SilentDial, event.PhaseBanner: event.SilentReset} {
		r := refusal(first, "")
		if r.Phase, r.Code = phase, 0; o.Judge(r).Class != want {
			t.Errorf("%s: want %s", phase, want)
		}
	}
}

// follow does what a session does until its first recipient, and gives the sending IP that it has then.
func (o *rig) follow(req request, sender, recipient string) (ip netip.Addr, moves int, failed bool) {
	var none error
	connect := func() bool {
		var choice route.Choice
		if choice, none = o.router.Begin(o.query(req)); none != nil {
			return false
		}
		chosen, _, err := o.permitted(choice, req)
		ip = chosen.Address
		return err == nil
	}
	if !connect() && !errors.Is(none, session.ErrNotYet) {
		return ip, 0, true
	}
	for _, learn := range []func(){
		func() { req.Sender, req.SenderKnown = sender, true },
		func() { req.Recipient = recipient },
	} {
		learn()
		if none == nil && o.MayStay(req, ip) {
			continue
		}
		if moves++; !connect() {
			return ip, moves, true
		}
	}
	return ip, moves, false
}

var (
	senderDomains    = []string{"a.example", "b.example", "c.example", "news.example"}
	recipientDomains = []string{"gmail.com", "docomo.ne.jp", "there.example"}
)

func oneOf(random *rand.Rand, list []string) string { return list[random.IntN(len(list))] }

func randomRoutes(random *rand.Rand) (c route.Config) {
	names := []string{route.DefaultPool, "news", "more"}
	for i, name := range names {
		p := route.Pool{Name: name, BySender: random.IntN(2) == 0}
		if random.IntN(4) == 0 {
			p.IPs = append(p.IPs, weighted("2001:db8::10"))
		} else {
			for ip := range 1 + random.IntN(4) {
				p.IPs = append(p.IPs, weighted(fmt.Sprintf("203.0.113.%d", 10+(ip+i)%4)))
			}
		}
		c.Pools = append(c.Pools, p)
	}
	for i := range random.IntN(4) {
		tenant := route.Tenant{Name: fmt.Sprintf("t%d", i), Pool: oneOf(random, names), Sources: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.20.%d.0/24", random.IntN(2)))}}
		if random.IntN(3) > 0 {
			tenant.SenderDomains = []string{senderDomains[i]}
		} else {
			tenant.Sources = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.20.%d.%d/32", 2, i))}
		}
		c.Tenants = append(c.Tenants, tenant)
	}
	for i := range random.IntN(4) {
		route := route.Route{Name: fmt.Sprintf("route %d", i+1), Pool: oneOf(random, names)}
		switch random.IntN(4) {
		case 0:
			route.SenderDomains = []string{oneOf(random, senderDomains)}
		case 1:
			route.RecipientDomains = []string{oneOf(random, recipientDomains)}
		case 2:
			route.Providers = []string{oneOf(random, []string{"google", "docomo"})}
		default:
			route.Destinations = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25")}
		}
		c.Routes = append(c.Routes, route)
	}
	return c
}
