package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Where a session has got to is where it began, as long as the mail may go on from there: the tenant that MAIL tells, or the provider that
// RCPT tells, move nothing within a pool that senders do not decide in.
//
// audit-D7
func TestTheCourseOfAMailKeepsWhatItMayKeep(t *testing.T) {
	var ips []WeightedIP
	for i := range 7 {
		ips = append(ips, WeightedIP{SendingIP: SendingIP{Address: netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 10+i))}})
	}
	both := []netip.Prefix{netip.MustParsePrefix("10.20.1.0/24")}
	for _, bySender := range []bool{false, true} {
		r, err := NewRouter(Config{
			Pools: []Pool{{Name: DefaultPool, IPs: ips, BySender: bySender}, {Name: "news", IPs: ips[:2]}},
			Tenants: []Tenant{
				{Name: "a", Sources: both, SenderDomains: []string{"a.example"}, Pool: DefaultPool},
				{Name: "b", Sources: both, SenderDomains: []string{"b.example"}, Pool: DefaultPool},
			},
			Routes: []Route{{Name: "route 1", SenderDomains: []string{"news.example"}, Pool: "news"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			q := Query{
				Source: netip.AddrFrom4([4]byte{10, 20, 1, byte(random.IntN(250))}), Suspicion: -1, SenderKnown: true,
				Destination: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(250))}), 25),
				Sender:      "x@" + []string{"a.example", "b.example", "news.example"}[random.IntN(3)], RecipientDomain: "there.example",
			}
			course, err := r.Course(q, "")
			if err != nil {
				t.Fatal(err)
			}
			first, _ := r.Choose(Query{Source: q.Source, Destination: q.Destination, Suspicion: -1})
			last, _ := r.Choose(q)
			want := first.IP
			if !last.Has(want.Address) || last.BySender {
				want = last.IP
			}
			if course.IP != want || course.Pool != last.Pool || course.Tenant != last.Tenant {
				t.Errorf("by sender %t, %+v: %s of %s, want %s of %s", bySender, q, course.IP.Address, course.Pool, want.Address, last.Pool)
			}
		}
	}
}
