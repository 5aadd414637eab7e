package setup

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/config"
	"kanmon/internal/event/journal"
)

// aHost has an outside interface with two IPv4 and two IPv6 addresses, of which one is named each, and two inside.
func aHost(t *testing.T, files map[string]string) *Host {
	t.Helper()
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "net"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(proc, "net", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &Host{
		Proc: proc,
		Interfaces: func() ([]Interface, error) {
			return []Interface{
				{"eth0", prefixes("203.0.113.10/24", "203.0.113.11/24", "2001:db8::10/64", "2001:db8::dead/64", "fe80::1/64")},
				{"eth1", prefixes("10.20.0.1/16", "2001:db8:20::1/64", "fe80::2/64")},
				{"wg0", prefixes("10.99.0.1/32")},
			}, nil
		},
		LookupAddr: func(_ context.Context, addr string) ([]string, error) {
			if name, found := map[string]string{"203.0.113.10": "out10.example.jp.", "2001:db8::10": "out10.example.jp."}[addr]; found {
				return []string{name}, nil
			}
			return nil, errors.New("no such host")
		},
	}
}

func seen(t *testing.T, h *Host) Sight {
	t.Helper()
	s := h.Look()
	h.Name(t.Context(), &s)
	return s
}

const (
	routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t017100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth1\t0000140A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
	port25 = "  sl  local_address rem_address   st tx_queue rx_queue\n   0: 00000000:0019 00000000:0000 0A 00000000:00000000\n"
	port26 = "  sl  local_address rem_address   st tx_queue rx_queue\n   0: 00000000:001A 00000000:0000 0A 0:0\n   1: 0100007F:0019 0100007F:9999 01 0:0\n"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// What is seen of a host is what an operator would say of it: the inside networks of both families, the outside addresses with their names;
// no IPv6 address that has none, or that will pass away.
func TestHostIsSeen(t *testing.T) {
	s := seen(t, aHost(t, map[string]string{"route": routes, "tcp": port26, "tcp6": port25}))
	if got := networks(s.Networks); got != "10.20.0.0/16@eth1 2001:db8:20::/64@eth1" {
		t.Errorf("networks: %s", got)
	}
	if len(s.Outside) != 3 || s.Outside[1].String() != "203.0.113.11" || s.Outside[2].String() != "2001:db8::10" {
		t.Errorf("outside: %v", s.Outside)
	}
	if s.Names[s.Outside[0]] != "out10.example.jp" || !s.MSA {
		t.Errorf("names %v, MSA %v", s.Names, s.MSA)
	}
	passing := "20010db8000000000000000000000010 02 40 00 01     eth0\n"
	s = seen(t, aHost(t, map[string]string{"route": routes, "tcp": port26, "if_inet6": passing}))
	if len(s.Outside) != 2 || s.MSA {
		t.Errorf("outside %v, MSA %v", s.Outside, s.MSA)
	}
}

func networks(all []Network) string {
	var texts []string
	for _, n := range all {
		texts = append(texts, n.String()+"@"+n.Interface)
	}
	return strings.Join(texts, " ")
}

// A host behind NAT, with one interface, may be all there is.
func TestHostWithOneInterfaceIsSeen(t *testing.T) {
	h := aHost(t, map[string]string{"route": routes})
	h.Interfaces = func() ([]Interface, error) { return []Interface{{"eth0", prefixes("192.168.1.5/24")}}, nil }
	s := seen(t, h)
	if len(s.Outside) != 1 || networks(s.Networks) != "192.168.1.0/24@eth0" {
		t.Errorf("%+v", s)
	}
}

// Every answer to "what is kanmon to be here" gives a file that is a whole configuration, and says what was answered.
func TestEveryRoleGivesAWholeFile(t *testing.T) {
	s := seen(t, aHost(t, map[string]string{"route": routes, "tcp": port25}))
	for _, row := range []struct {
		given Given
		check func(c *config.Config) bool
	}{
		{Given{}, func(c *config.Config) bool {
			return len(c.SendingIPs) == 0 && len(c.Intercept.Sources) == 2 && c.Intercept.Local
		}},
		{Given{Role: Observe, Sources: []string{"10.20.3.4"}}, func(c *config.Config) bool {
			return c.Intercept.Sources[0].String() == "10.20.3.4/32" && !c.Intercept.Local
		}},
		{
			Given{Role: Gateway, SendingIPs: []string{"203.0.113.10", "203.0.113.11=out11.example.jp"}, Tenants: []string{"acme=10.20.1.0/24", "acme=10.20.2.7", "b=10.20.3.0/24"}},
			func(c *config.Config) bool {
				return len(c.SendingIPs) == 2 && c.SendingIPs[0].EHLO == "out10.example.jp" && c.SendingIPs[1].EHLO == "out11.example.jp" &&
					len(c.Tenants) == 2 && len(c.Tenants[0].Sources) == 2 && !c.Intercept.Local
			},
		},
		{Given{Sources: []string{"10.20.0.0/16"}, Folders: &Folders{"/s", "/r", "/l"}}, func(c *config.Config) bool {
			return c.Standing.File == "/s/standing.db" && c.Senders.File == "/s/senders.db" && c.Admin.Socket == "/r/admin.sock" &&
				c.Journal.Records == "/l/records.jsonl" && c.Journal.SessionLog == "/l/session.log"
		}},
		{Given{Role: MSAHost, SendingIPs: []string{"203.0.113.10"}, Addresses: "domain"}, func(c *config.Config) bool {
			return c.Intercept.Local && len(c.Intercept.Sources) == 0 && c.Journal.Addresses == journal.AddressesDomain
		}},
	} {
		a, err := Decide(&s, &row.given)
		if err == nil {
			err = a.Complete()
		}
		if err != nil {
			t.Errorf("%+v: %v", row.given, err)
			continue
		}
		cfg, err := config.Parse("kanmon.toml", []byte(a.Text()))
		if err != nil || !row.check(cfg) {
			t.Errorf("%+v: %v\n%s", row.given, err, a.Text())
		}
		exampleLines(t, a.Text())
		if strings.Contains(a.Text(), " \n") || strings.Contains(a.Text(), "\n\n\n") || !strings.HasSuffix(a.Text(), "\n") {
			t.Errorf("spaces at the end of a line, or too many empty ones:\n%s", a.Text())
		}
	}
}

// exampleLines reads the file with every key that it only shows, too.
func exampleLines(t *testing.T, text string) {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(text) {
		shown, found := strings.CutPrefix(line, "# ")
		if key, _, _ := strings.Cut(shown, " "); found && (strings.HasPrefix(shown, "[") || strings.Contains(shown, " = ") && !strings.ContainsAny(key, ".:,\"")) {
			line = shown
		}
		b.WriteString(line)
	}
	if _, err := config.Parse("kanmon.toml", []byte(b.String())); err != nil {
		t.Errorf("what it shows: %v\n%s", err, b.String())
	}
}

// What is missing is named with the flag that gives it.
func TestWhatIsMissingIsNamed(t *testing.T) {
	s := seen(t, aHost(t, map[string]string{"route": routes}))
	for _, row := range []struct {
		sight Sight
		given Given
		want  string
	}{
		{s, Given{Role: Gateway}, "no name for 203.0.113.11: give --sending-ip 203.0.113.11=NAME"},
		{Sight{}, Given{}, "give --sources"},
		{Sight{Networks: s.Networks}, Given{Role: Gateway}, "give --sending-ip"},
		{s, Given{Role: Observe, SendingIPs: []string{"203.0.113.10"}}, "--role gateway"},
		{s, Given{Sources: []string{"10.20.0.0/33"}}, `--sources: "10.20.0.0/33" is not a network`},
		{s, Given{Role: Gateway, SendingIPs: []string{"eth0"}}, `--sending-ip: "eth0" is not an IP address`},
		{s, Given{Role: Gateway, SendingIPs: []string{"203.0.113.10", "203.0.113.10"}}, "twice"},
		{s, Given{Tenants: []string{"10.20.1.0/24"}}, "--tenant: "},
		{s, Given{Tenants: []string{"acme=10.21.1.0/24"}}, "10.21.1.0/24 of tenant acme is in none of the networks"},
	} {
		a, err := Decide(&row.sight, &row.given)
		if err == nil {
			err = a.Complete()
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: %v, want %q", row.given, err, row.want)
		}
	}
}

// At most eight questions are asked; an empty line takes what is offered, and a wrong answer is asked for again with what is wrong.
func TestQuestionsAreFewAndForgiving(t *testing.T) {
	s := seen(t, aHost(t, map[string]string{"route": routes, "tcp": port25}))
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(file, []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := strings.NewReader("gatway\ngateway\n10.20.0.0/16 local\n203.0.113.10,203.0.113.11\nout10.example.jp\nout10.example.jp, out11.example.jp\nacme\nnone\n\n" + file + "\n\n")
	var out strings.Builder
	written := file
	a, err := Ask(in, &out, &s, &Given{}, &written, false)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`"gatway" is no role`, "2001:db8:20::/64 is behind eth1", "want a name for each of the 2 addresses, and got 1", `"acme" is not a tenant`,
		"is there already, and is not overwritten", "[" + file + ".new]",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if a.Role != Gateway || !a.Local || len(a.Sources) != 1 || a.Sources[0].Interface != "eth1" || a.SendingIPs[1].EHLO != "out11.example.jp" || written != file+".new" {
		t.Errorf("%+v, %s", a, written)
	}
	elsewhere := filepath.Join(t.TempDir(), "kanmon.toml")
	if _, err := Ask(strings.NewReader("observe"+strings.Repeat("\n", 8)), &out, &s, &Given{}, &elsewhere, false); err != nil {
		t.Errorf("eight empty lines are not enough: %v", err)
	}
	if _, err := Ask(strings.NewReader("observe\n"), &out, &s, &Given{}, &written, false); !errors.Is(err, errEnd) || !strings.Contains(err.Error(), `the question was "Whose mail?`) {
		t.Errorf("a terminal that is closed: %v", err)
	}
}

// What is at the path of a file stays: it is refused, or kept beside.
func TestNothingIsOverwritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etc", "kanmon.toml")
	for range 2 {
		if err := Write(file, "first"); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	if err := Write(file, "second"); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if err := Free(file); err == nil || !strings.Contains(err.Error(), file+".new") {
		t.Errorf("free: %v", err)
	}
	for _, want := range []string{file + ".old", file + ".old2"} {
		if old, err := Aside(file); old != want || err != nil {
			t.Errorf("aside: %q, %v; want %s", old, err, want)
		}
		if err := Write(file, "next"); err != nil {
			t.Error(err)
		}
	}
	if kept, err := os.ReadFile(file + ".old"); string(kept) != "first" || err != nil {
		t.Errorf("kept: %q, %v", kept, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("mode: %v, %v", info, err)
	}
}

// What is no file stays where it is.
func TestOnlyFilesAreKeptAside(t *testing.T) {
	folder := t.TempDir()
	if old, err := Aside(folder); old != "" || err == nil {
		t.Errorf("a folder was moved to %q: %v", old, err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Error(err)
	}
}

// An answer that makes no configuration is told at its own question, with what would be right, and asked for again; faults of flags are told in
// the words of the flags.
func TestFaultsNameTheQuestion(t *testing.T) {
	s := seen(t, aHost(t, map[string]string{"route": routes}))
	faults := func(text string) (found []Fault) {
		var wrong config.Errors
		if _, err := config.Parse("kanmon.toml", []byte(text)); errors.As(err, &wrong) {
			for _, e := range wrong {
				found = append(found, Fault{e.Key, e.Problem, e.Want})
			}
		}
		return found
	}
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	in := strings.NewReader("gateway\n10.20.0.0/16\n203.0.113.10\nout10..example.jp\nout10.example.jp\nall=10.20.1.0/24, other=10.20.1.0/24\nall=10.20.1.0/24\n\n\n")
	var out strings.Builder
	a, err := Ask(in, &out, &s, &Given{Faults: faults}, &file, false)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if err := a.Wrong(faults); err != nil {
		t.Error(err)
	}
	said := out.String()
	for _, want := range []string{
		"[out10.example.jp]   \"out10..example.jp\" is not a host name: it has an empty part between, before or after dots: want the name that the PTR",
		"[none]   \"10.20.1.0/24\" overlaps with",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in:\n%s", want, said)
		}
	}
	b, err := Decide(&s, &Given{Role: Gateway, SendingIPs: []string{"203.0.113.10=a..b"}, Tenants: []string{"x=10.20.1.0/24", "y=10.20.1.0/24"}})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Wrong(faults)
	for _, want := range []string{`--sending-ip ADDRESS=NAME: "a..b" is not`, "--tenant: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}
