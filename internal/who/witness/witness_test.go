package witness

import (
	"fmt"
	"net/netip"
	"testing"
)

var addr = netip.MustParseAddr

// What one owner can have of many makes no further witness: addresses of a network, names below a domain, domains below one that anybody
// gives away, mailboxes. What only another owner can have does.
func TestTwoAreTwoOnlyWhenNothingIsTheSame(t *testing.T) {
	evil := Receiver{Host: "mx1.evil.example", Domain: "evil.example", MX: addr("192.0.2.1")}
	for name, test := range map[string]struct {
		a, b Receiver
		same bool
	}{
		"another address of the network":        {evil, Receiver{Host: "mx.other.example", Domain: "other.example", MX: addr("192.0.2.200")}, true},
		"another MX of the organisation":        {evil, Receiver{Host: "mx2.evil.example", Domain: "other.example", MX: addr("198.51.100.1")}, true},
		"another MX of the recipient's domain":  {evil, Receiver{Host: "mx.other.example", Domain: "evil.example", MX: addr("198.51.100.1")}, true},
		"a domain below it":                     {evil, Receiver{Domain: "n17.evil.example", MX: addr("198.51.100.1")}, true},
		"in capitals, with the dot":             {evil, Receiver{Domain: "EVIL.example.", MX: addr("198.51.100.1")}, true},
		"the same, of which less is known":      {evil, Receiver{MX: addr("192.0.2.1")}, true},
		"the address as an IPv6 one":            {evil, Receiver{MX: addr("::ffff:192.0.2.7")}, true},
		"another, in all":                       {evil, Receiver{Host: "mx.other.example", Domain: "other.example", MX: addr("198.51.100.1")}, false},
		"another, of which less is known":       {evil, Receiver{Domain: "other.example", MX: addr("198.51.100.1")}, false},
		"two names of one dynamic DNS":          {Receiver{Domain: "a.dyndns.org", MX: addr("192.0.2.1")}, Receiver{Domain: "b.dyndns.org", MX: addr("198.51.100.1")}, true},
		"two customers of one registry":         {Receiver{Domain: "a.co.jp", MX: addr("192.0.2.1")}, Receiver{Domain: "b.co.jp", MX: addr("198.51.100.1")}, false},
		"two addresses of a /48":                {Receiver{MX: addr("2001:db8:7::1")}, Receiver{MX: addr("2001:db8:7:ffff::1")}, true},
		"two /48s":                              {Receiver{MX: addr("2001:db8:7::1")}, Receiver{MX: addr("2001:db8:8::1")}, false},
		"a provider's, wherever":                {Receiver{Provider: "google", MX: addr("192.0.2.1")}, Receiver{Provider: "google", Domain: "evil.example", MX: addr("198.51.100.1")}, true},
		"two providers":                         {Receiver{Provider: "google", Domain: "a.example"}, Receiver{Provider: "yahoo", Domain: "a.example"}, false},
		"a provider and a stranger at its side": {Receiver{Provider: "google", MX: addr("192.0.2.1")}, Receiver{MX: addr("192.0.2.2")}, false},
		"address literals":                      {Receiver{Domain: "[192.0.2.1]", MX: addr("192.0.2.1")}, Receiver{Domain: "[198.51.100.1]", MX: addr("198.51.100.1")}, false},
	} {
		if a, b := marks.Mark(&test.a), marks.Mark(&test.b); a.Same(b) != test.same || b.Same(a) != test.same {
			t.Errorf("%s: the same %t", name, a.Same(b))
		}
	}
	for _, r := range []Receiver{{Provider: "google"}, {MX: addr("192.0.2.1")}, evil} {
		if m := marks.Mark(&r); m == 0 || m.Named() != (r.Provider != "") {
			t.Errorf("%+v: %x, named %t", r, m, m.Named())
		}
	}
}

// Who differs from himself in one thing only, or in two, is no crowd.
func TestACrowdDiffersInAll(t *testing.T) {
	add := func(c *Crowd, network, host, domain int) {
		r := Receiver{MX: netip.AddrFrom4([4]byte{100, byte(network), 0, 1}), Domain: fmt.Sprintf("d%d.example", domain)}
		if host >= 0 {
			r.Host = fmt.Sprintf("mx.h%d.example", host)
		}
		c.Add(marks.Mark(&r))
	}
	var domains, networks, both, few, crowd, unnamed, google Crowd
	for i := range 60 {
		add(&domains, 1, 1, i)
		add(&networks, i, 1, 1)
		add(&both, i, 1, i)
		add(&few, i%5, i%5, i%5)
		add(&crowd, i, i, i)
		add(&unnamed, i, -1, i)
		google.Add(marks.Mark(&Receiver{Provider: fmt.Sprint("p", i)}))
	}
	for name, c := range map[string]*Crowd{"domains": &domains, "networks": &networks, "both": &both, "five": &few, "providers": &google} {
		if c.Many() > 0 {
			t.Errorf("%s are a crowd", name)
		}
	}
	if crowd.Many() < 0.3 || unnamed.Many() < 0.3 {
		t.Error("60 strangers are no crowd")
	}
	for range 1000 {
		add(&crowd, 0, 0, 0)
	}
	if part := crowd.Many(); part > 0.2 {
		t.Errorf("one has said nearly all, and %.2f is what many say", part)
	}
}

func TestNames(t *testing.T) {
	for domain, want := range map[string]string{
		"mx.example.com": "example.com", "example.com": "example.com", "a.b.co.uk": "b.co.uk", "com": "com", "": "", "mx.a.example": "a.example",
		"deep.in.a.github.io": "github.io", "x.y.pphosted.com": "pphosted.com", "mx.xn--wgv71a119e.jp": "xn--wgv71a119e.jp", ".": "",
	} {
		if got := Registered(domain); got != want {
			t.Errorf("%q is registered as %q, want %q", domain, got, want)
		}
	}
	for _, test := range []struct {
		r    Receiver
		want string
	}{
		{Receiver{Provider: "google", Host: "aspmx.l.google.com"}, "google"},
		{Receiver{Host: "mx.hoster.example", Domain: "b.example"}, "hoster.example"},
		{Receiver{Domain: "mail.b.example", MX: addr("192.0.2.1")}, "b.example"},
		{Receiver{MX: addr("192.0.2.1")}, "192.0.2.0/24"},
		{Receiver{Domain: "[192.0.2.1]", MX: addr("192.0.2.1")}, "192.0.2.0/24"},
	} {
		if got := test.r.Organisation(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.r, got, test.want)
		}
	}
}

func TestTenantsAndMessages(t *testing.T) {
	if Tenant("acme", addr("10.0.0.1")) != Tenant("acme", addr("10.0.0.2")) || Tenant("acme", addr("10.0.0.1")) == Tenant("beta", addr("10.0.0.1")) {
		t.Error("a tenant goes by its name")
	}
	if Tenant("", addr("10.0.0.1")) == Tenant("", addr("10.0.0.2")) || Tenant("", addr("2001:db8::1")) != Tenant("", addr("2001:db8::2:1")) ||
		Tenant("", addr("2001:db8::1")) == Tenant("", addr("2001:db8:0:1::1")) || Tenant("", addr("::ffff:10.0.0.1")) != Tenant("", addr("10.0.0.1")) {
		t.Error("without a name an MSA is a tenant, and a /64 is one MSA")
	}
	if Message(7, 1) == Message(7, 2) || Message(8, 1) == Message(7<<1, 1) || Message(0, 3) != 0 || Message(7, 0) == 0 {
		t.Error("a message is a transaction of a session")
	}
}

// A mark is made for every recipient at an MX that is no provider's: of domains that were met lately it costs no memory.
func TestMarksCostLittle(t *testing.T) {
	r := Receiver{Host: "mx1.evil.example", Domain: "evil.example", MX: addr("192.0.2.1")}
	if n := testing.AllocsPerRun(100, func() { _ = marks.Mark(&r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The name of a stranger is made once, however often it is asked for; two that share a place never have each other's.
func TestStrangersKeepTheirNames(t *testing.T) {
	for i := range 5000 {
		mx := netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
		if got, want := Stranger(mx), Strange+mx.String(); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	mx := netip.MustParseAddr("::ffff:192.0.2.25")
	if got := Stranger(mx); got != "mx:192.0.2.25" {
		t.Error(got)
	}
	if n := testing.AllocsPerRun(100, func() { Stranger(mx) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

var marks = NewMarker(Secret{1})

// Under one secret a receiver has one mark, in any process; under another it has another.
func TestAMarkLastsAsItsSecret(t *testing.T) {
	for _, r := range []Receiver{{Provider: "google"}, {MX: addr("192.0.2.1")}, {Host: "mx1.evil.example", Domain: "evil.example", MX: addr("192.0.2.1")}} {
		here, there, other := NewMarker(Secret{1}).Mark(&r), NewMarker(Secret{1}).Mark(&r), NewMarker(NewSecret()).Mark(&r)
		if here != there || here == other {
			t.Errorf("%+v: %x, %x, and %x under another secret", r, here, there, other)
		}
	}
}
