package standing

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/event"
)

// The test that separates our IP from a tenant and from an odd receiver, at its thresholds.
func TestDoubtNeedsDistinctTenantsAndDestinations(t *testing.T) {
	for tenants := 1; tenants <= 3; tenants++ {
		for destinations := 1; destinations <= 4; destinations++ {
			r := newRig(t, Options{})
			for i := range 100 * 12 { // many replies make no difference
				r.Observe(doubt("google", fmt.Sprint("t", i%tenants), fmt.Sprint("d", i/12%destinations)))
			}
			want := Active
			if tenants >= 2 && destinations >= 3 {
				want = Suspended
			}
			if s, _ := r.Show(key("google")); s.State != want {
				t.Errorf("%d tenants, %d destinations: %v, want %v", tenants, destinations, s.State, want)
			}
		}
	}
}

// The second tenant needs destinations of its own: a spammer's refusals and one stray refusal of another tenant are the spammer's.
//
// law: I19
func TestAStrayRefusalDoesNotMakeASecondTenant(t *testing.T) {
	for _, test := range []struct {
		name string
		met  []string // tenant and destination
		want State
	}{
		{"a spammer alone", []string{"s 1", "s 2", "s 3", "s 4"}, Active},
		{"a stray one, where the spammer was", []string{"s 1", "s 2", "s 3", "t 1"}, Active},
		{"a stray one, elsewhere", []string{"s 1", "s 2", "s 3", "t 9"}, Active},
		{"a stray one, before", []string{"t 1", "s 1", "s 2", "s 3"}, Active},
		{"stray ones of many, at one place", []string{"s 1", "s 2", "s 3", "t 1", "u 1", "v 1"}, Active},
		{"two of its own", []string{"s 1", "s 2", "s 3", "t 8", "t 9"}, Suspended},
		{"two of the spammer's", []string{"s 1", "s 2", "s 3", "t 1", "t 2"}, Suspended},
		{"two others, once each", []string{"s 1", "s 2", "s 3", "t 1", "u 2"}, Suspended},
		{"three tenants, once each", []string{"s 1", "t 2", "u 3"}, Suspended},
		{"two tenants, neither with all", []string{"s 1", "t 2", "t 3"}, Suspended},
		{"a loud one that fills what is kept", append(refusedBy("s", 40), "t 1"), Active},
		{"the same, and another's two", append(refusedBy("s", 40), "t 8", "t 9"), Suspended},
	} {
		r := newRig(t, Options{})
		for _, met := range test.met {
			tenant, destination, _ := strings.Cut(met, " ")
			r.Pass(time.Second)
			r.Observe(doubt("google", tenant, destination))
		}
		if s, _ := r.Show(key("google")); s.State != test.want {
			t.Errorf("%s: %v, want %v", test.name, s.State, test.want)
		}
	}
}

func refusedBy(tenant string, destinations int) (met []string) {
	for i := range destinations {
		met = append(met, fmt.Sprint(tenant, " ", i))
	}
	return met
}

// Where there is but one tenant, or but one destination, the other suffices; where there is but one of each nothing can be told apart.
//
// law: I19
func TestSmallSitesSuspendByWhatTheyHave(t *testing.T) {
	for _, test := range []struct {
		tenants, destinations     int
		oneTenant, oneDestination bool
		want                      State
	}{
		{1, 3, true, false, Suspended},
		{1, 2, true, false, Active},
		{2, 1, false, true, Suspended},
		{1, 1, false, true, Active},
		{1, 1, true, true, Active},
		{2, 1, false, false, Active},
		{1, 3, false, false, Active},
	} {
		r := newRig(t, Options{})
		for i := range 60 {
			ev := doubt("docomo", fmt.Sprint("t", i%test.tenants), fmt.Sprint("d", i/2%test.destinations))
			ev.OneTenant, ev.OneDestination = test.oneTenant, test.oneDestination
			r.Observe(ev)
		}
		if s, _ := r.Show(key("docomo")); s.State != test.want {
			t.Errorf("%+v: %v", test, s.State)
		}
	}
}

// A doubt of a contained sender is about that sender; a listing is one whoever met it.
func TestDoubtsOfContainedSendersAreNotHeard(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 60 {
		ev := doubt("google", fmt.Sprint("t", i%3), fmt.Sprint("d", i/3))
		ev.Contained = true
		r.Observe(ev)
	}
	r.want(key("google"), Active, 1, 0)
	ev := listing("google")
	ev.Contained = true
	r.Observe(ev)
	r.want(key("google"), Suspended, 0, 2*time.Hour)
}

// An IP that is shut out, by a 5xx, is slowed by one reply, and the operator is told at whose mail.
func TestAFinalThrottleSlowsAtOnce(t *testing.T) {
	r := newRig(t, Options{})
	ev := tooFast("google")
	r.Observe(ev)
	r.want(key("google"), Active, 1, 0)
	r = newRig(t, Options{})
	ev.Scope, ev.Final = event.ScopeIP, true
	r.Observe(ev)
	if s := r.want(key("google"), Slowed, 0.5, 30*time.Minute); !strings.Contains(s.Reason, ev.Tenant) {
		t.Errorf("reason %q", s.Reason)
	}
}

// How large a netblock is, is the operator's.
func TestNetblockIsConfigurable(t *testing.T) {
	six, sixBeside := netip.MustParseAddr("2001:db8:1:2::1"), netip.MustParseAddr("2001:db8:1:3::1")
	for _, test := range []struct {
		block          Block
		refused, other netip.Addr
		want           State
	}{
		{Block{V4: 24}, ours, beside, Slowed},
		{Block{V4: 32}, ours, beside, Active},
		{Block{V6: 64}, six, sixBeside, Active},
		{Block{V6: 56}, six, sixBeside, Slowed},
		{Block{}, six, sixBeside, Slowed},
	} {
		r := newRig(t, Options{Settings: Settings{Neighbours: []netip.Addr{test.refused, test.other}, Block: test.block}})
		ev := listing("google")
		ev.IP, ev.Scope = test.refused, event.ScopeNetblock
		r.Observe(ev)
		if s, _ := r.Show(Key{test.other, "google"}); s.State != test.want {
			t.Errorf("%+v: %s is %v", test.block, test.other, s.State)
		}
	}
}

func TestDoubtsCountWithinTheirTime(t *testing.T) {
	for _, c := range []struct {
		wait time.Duration
		want State
	}{{time.Hour - time.Nanosecond, Suspended}, {time.Hour, Active}} {
		r := newRig(t, Options{})
		r.Observe(doubt("google", "acme", "a.example"))
		r.Pass(time.Minute)
		r.Observe(doubt("google", "beta", "b.example"))
		r.Pass(c.wait - time.Minute)
		r.Observe(doubt("google", "beta", "c.example"))
		if s, _ := r.Show(key("google")); s.State != c.want {
			t.Errorf("after %v: %v, want %v", c.wait, s.State, c.want)
		}
	}
}

func TestThresholdsAreConfigurable(t *testing.T) {
	general, docomo := DefaultNumbers(), DefaultNumbers()
	general.Listed = Trigger{Replies: 3, Tenants: 1, Destinations: 2, Within: time.Hour}
	docomo.Refused.Destinations = 1 // one domain is all it has
	docomo.Refused.Tenants = 4
	r := newRig(t, Options{Settings: Settings{Numbers: general, Providers: map[string]*Numbers{"docomo": docomo}}})

	other := listing("google")
	other.Destination = "other.example"
	for i, want := range []State{Active, Active, Active, Suspended} {
		if i == 3 {
			r.Observe(other)
		} else {
			r.Observe(listing("google"))
		}
		if s, _ := r.Show(key("google")); s.State != want {
			t.Errorf("reply %d: %v, want %v", i+1, s.State, want)
		}
	}
	for i, want := range []State{Active, Active, Active, Suspended} {
		r.Observe(doubt("docomo", fmt.Sprint("t", i), "docomo.ne.jp"))
		if s, _ := r.Show(key("docomo")); s.State != want {
			t.Errorf("tenant %d: %v, want %v", i+1, s.State, want)
		}
	}
}

func TestWhatIsNotAboutOurIPNeverCounts(t *testing.T) {
	r := newRig(t, Options{})
	for _, scope := range []event.Scope{
		event.ScopeSender, event.ScopeRecipient, event.ScopeMessage, event.ScopeTransaction, event.ScopeHost, event.ScopeReceiver, event.ScopeProtocol,
	} {
		for _, suspend := range []event.Suspend{event.SuspendYes, event.SuspendMay, event.SuspendNo} {
			for _, class := range []event.Class{event.IPBlocklisted, event.IPReputation, event.Throttled, event.ContentRejected} {
				for i := range 12 {
					ev := doubt("google", fmt.Sprint("t", i%4), fmt.Sprint("d", i))
					ev.Scope, ev.Suspend, ev.Class = scope, suspend, class
					r.Observe(ev)
				}
			}
		}
	}
	for i := range 12 {
		ev := doubt("google", fmt.Sprint("t", i%4), fmt.Sprint("d", i))
		ev.Suspend = event.SuspendNo // as for a listing of somebody else's address
		r.Observe(ev)
		unknown := tooFast("google") // too much of what, it does not say
		unknown.Scope = []event.Scope{event.ScopeUnknown, event.Unscoped}[i%2]
		r.Observe(unknown)
		own := listing("google")
		own.Own = true
		r.Observe(own)
	}
	if all := r.List(); len(all) != 0 {
		t.Errorf("list: %+v", all)
	}
	if _, seen := r.Show(key("google")); len(seen) != 0 {
		t.Errorf("kept: %+v", seen)
	}
}

func TestWeakAndClosedListsNeverSuspendAlone(t *testing.T) {
	for _, c := range []struct {
		weights []event.Weight
		want    State
	}{
		{[]event.Weight{event.WeightWeak}, Active},
		{[]event.Weight{event.WeightClosed}, Active},
		{[]event.Weight{event.WeightWeak, event.WeightClosed}, Active},
		{[]event.Weight{event.WeightStrong}, Suspended},
		{[]event.Weight{event.WeightRange}, Suspended},
		{[]event.Weight{event.WeightUnknown}, Suspended},
		{[]event.Weight{event.WeightWeak, event.WeightStrong}, Suspended},
		{nil, Suspended},
	} {
		r := newRig(t, Options{})
		ev := listing("google")
		for i, w := range c.weights {
			ev.Lists = append(ev.Lists, List{Name: fmt.Sprint("list", i), Weight: w})
		}
		for range 20 {
			r.Observe(ev)
		}
		if s, _ := r.Show(key("google")); s.State != c.want {
			t.Errorf("weights %v: %v, want %v", c.weights, s.State, c.want)
		}
	}
}

// A provider that takes nearly everything has something against some messages, not against the IP.
func TestDoubtsDrownInAcceptedMail(t *testing.T) {
	for accepted, want := range map[int]State{54: Suspended, 55: Active} {
		r := newRig(t, Options{})
		r.Observe(doubt("google", "acme", "a.example"))
		for range accepted {
			r.Succeeded(key("google"), "acme")
		}
		for _, d := range []string{"a.example", "b.example"} {
			r.Observe(doubt("google", "beta", d))
			r.Observe(doubt("google", "acme", d))
		}
		r.Observe(doubt("google", "acme", "c.example"))
		if s, _ := r.Show(key("google")); s.State != want {
			t.Errorf("6 refused, %d accepted: %v, want %v", accepted, s.State, want)
		}
	}
}

func TestAcceptedMailOfLongAgoDrownsNothing(t *testing.T) {
	for quiet, want := range map[int]State{1: Active, 8: Suspended} {
		r := newRig(t, Options{})
		r.Observe(doubt("google", "acme", "a.example"))
		for range 1000 {
			r.Succeeded(key("google"), "acme")
		}
		for range quiet {
			r.Pass(2 * time.Hour)
			r.Observe(doubt("google", "acme", "a.example"))
		}
		for _, d := range []string{"a.example", "b.example", "c.example"} {
			r.Observe(doubt("google", "acme", d))
			r.Observe(doubt("google", "beta", d))
		}
		if s, _ := r.Show(key("google")); s.State != want {
			t.Errorf("after %d times 2 h: %v, want %v", quiet, s.State, want)
		}
	}
}

func TestNetblockSlowsTheNeighboursAtThatProvider(t *testing.T) {
	six := netip.MustParseAddr("2001:db8:1:2::1")
	sixBeside := netip.MustParseAddr("2001:db8:1:ffff::1")
	sixElsewhere := netip.MustParseAddr("2001:db8:2::1")
	for _, c := range []struct{ refused, near, far netip.Addr }{{ours, beside, elsewhere}, {six, sixBeside, sixElsewhere}} {
		r := newRig(t, Options{Settings: Settings{Neighbours: []netip.Addr{ours, beside, elsewhere, six, sixBeside, sixElsewhere}}})
		ev := naming(listing("microsoft"), List{Name: "microsoft-internal"})
		ev.IP, ev.Scope = c.refused, event.ScopeNetblock
		if changed := r.Observe(ev); len(changed) != 2 {
			t.Fatalf("changed: %+v", changed)
		}
		r.want(Key{c.refused, "microsoft"}, Suspended, 0, 2*time.Hour)
		s := r.want(Key{c.near, "microsoft"}, Slowed, 0.5, time.Hour)
		if s.By != ByNetblock || len(s.Lists) != 0 {
			t.Errorf("neighbour: %+v", s)
		}
		r.want(Key{c.far, "microsoft"}, Active, 1, 0)
		r.want(Key{c.near, "google"}, Active, 1, 0)
		r.Pass(time.Minute)
		r.Observe(ev) // once is enough
		r.want(Key{c.near, "microsoft"}, Slowed, 0.5, 59*time.Minute)
		r.want(Key{c.refused, "microsoft"}, Suspended, 0, 2*time.Hour-time.Minute)
	}
}

func TestNeighbourThatIsSuspendedStaysSo(t *testing.T) {
	r := suspended(t, Options{Settings: Settings{Neighbours: []netip.Addr{ours, beside}}})
	ev := listing("google")
	ev.IP, ev.Scope = beside, event.ScopeNetblock
	r.Observe(ev)
	r.want(key("google"), Suspended, 0, 2*time.Hour)
}

func TestStrangersTextIsBoundedAndPrintable(t *testing.T) {
	r := newRig(t, Options{})
	ev := naming(listing("google"), List{Name: strings.Repeat("x", 1000), Zone: "EVIL\n.example", Weight: event.WeightUnknown})
	ev.Sample = "550 \x1b[2J\x00 \u202egnp\r\nX" + strings.Repeat("é", 500)
	ev.Tenant, ev.Destination, ev.Rule = strings.Repeat("t", 1000), "d\x07", strings.Repeat("r", 1000)
	r.Observe(ev)
	s, seen := r.Show(key("google"))
	if !strings.HasPrefix(s.Sample, "550 ?[2J? ?gnp  Xéé") || len(s.Sample) > 256 || !utf8.ValidString(s.Sample) {
		t.Errorf("sample %q", s.Sample)
	}
	if len(s.Rule) > 255 || len(seen[0].Tenant) > 255 || seen[0].Destination != "d?" || len(s.Lists[0].Name) > 64 {
		t.Errorf("standing %+v, seen %+v", s, seen)
	}
}

func TestShowGivesTheLastReplies(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 20 {
		r.Observe(doubt("google", "acme", fmt.Sprint("d", i)))
		r.Pass(time.Minute)
	}
	_, seen := r.Show(Key{netip.AddrFrom16(ours.As16()), "google"}) // the same address, written as IPv6
	if len(seen) != maxSeen {
		t.Fatalf("%d replies", len(seen))
	}
	want := EvidenceSeen{
		At: start.Add(19 * time.Minute), Tenant: "acme", Destination: "d19", Class: event.IPReputation, Scope: event.ScopeIP, Suspend: event.SuspendMay,
		Rule: "reputation", Sample: "550 5.7.1 poor reputation", Lists: []string{},
	}
	if diff := cmp.Diff(want, seen[maxSeen-1]); diff != "" {
		t.Error(diff)
	}
}
