package check

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/intercept"
	"kanmon/internal/outlet/host"
)

// addresses: mail can only leave from an address that the host has.
func (c *checker) addresses() {
	if c.links == nil {
		return
	}
	v4, v6 := 0, 0
	states := c.sendingIPStates()
	for i, ip := range c.Config.SendingIPs {
		if ip.Address.Is4() {
			v4++
		} else {
			v6++
		}
		kind, others := sendingIPRequired, ""
		if !ip.Required {
			kind, others = sendingIPAbsent, c.others(ip.Address)
		}
		where := fmt.Sprintf("sending_ip[%d].address", i)
		if ip.Address.IsLoopback() {
			c.find(sendingIPLoopback, where, fmt.Sprintf("%s is an address of the loopback interface: no MX can be called from it", ip.Address), "")
			continue
		}
		if state, known := states[ip.Address]; known && state > host.Here && !ip.Floating {
			c.find(kind, where, fmt.Sprintf("no mail can leave from %s: %s%s", ip.Address, state, others), "ip address show to "+ip.Address.String())
			continue
		}
		if !c.has(ip.Address) && !ip.Floating && !c.local(ip.Address) {
			c.find(kind, where, fmt.Sprintf("%s is not an address of this host%s", ip.Address, others),
				fmt.Sprintf("ip address add %s/%d dev INTERFACE%s", ip.Address, ip.Address.BitLen(), deprecated(ip.Address.Is4())))
		}
	}
	if v4 > 0 && v6 == 0 && c.Config.Intercept.ListensFor(false) {
		c.find(familyMissing, "sending_ip", "none is IPv6: connections to IPv6 addresses of MXs are refused, and the MSAs go on to IPv4", "add an IPv6 sending IP, or listen on IPv4 only")
	}
	if v6 > 0 && v4 == 0 && c.Config.Intercept.ListensFor(true) {
		c.find(familyMissing, "sending_ip", "none is IPv4: connections to IPv4 addresses of MXs are refused", "add an IPv4 sending IP")
	}
}

// others says which pools have another address of a sending IP's family that is here, to take its mail.
func (c *checker) others(ip netip.Addr) string {
	family, there := "IPv4", func(pool []netip.Addr) bool {
		return slices.ContainsFunc(pool, func(a netip.Addr) bool { return a != ip && a.Is4() == ip.Is4() && c.has(a) })
	}
	if ip.Is6() {
		family = "IPv6"
	}
	if len(c.Config.Pools) == 0 {
		var all []netip.Addr
		for _, s := range c.Config.SendingIPs {
			all = append(all, s.Address)
		}
		if there(all) {
			return "; others take its mail"
		}
		return fmt.Sprintf(", and no other %s address is in its pool", family)
	}
	var text string
	for _, name := range slices.Sorted(maps.Keys(c.Config.Pools)) {
		switch pool := c.Config.Pools[name].IPs; {
		case !slices.Contains(pool, ip):
		case there(pool):
			text += fmt.Sprintf("; in the pool %s others take its mail", name)
		default:
			text += fmt.Sprintf("; no other %s address is in the pool %s", family, name)
		}
	}
	return text
}

// sendingIPStates says of the sending IPs that are on this host whether mail can leave from them; nil: it is not known.
func (c *checker) sendingIPStates() map[netip.Addr]host.State {
	look := c.Host.Look
	if look == nil {
		if c.Host.Network != nil {
			return nil
		}
		look = host.Look
	}
	list := make([]netip.Addr, 0, len(c.Config.SendingIPs))
	for _, ip := range c.Config.SendingIPs {
		list = append(list, ip.Address)
	}
	states, err := look(list)
	if err != nil {
		return nil
	}
	return states
}

// local reports whether a route makes an address this host's own, as "ip route add local 203.0.113.0/24 dev lo" does.
func (c *checker) local(a netip.Addr) bool {
	route, err := c.Host.network().Route(a, netip.Addr{}, 0)
	return err == nil && route.Local
}

// deprecated keeps the kernel from choosing the new IPv6 address for other traffic of the host.
func deprecated(v4 bool) string {
	if v4 {
		return ""
	}
	return " preferred_lft 0"
}

// listeners: addresses to listen on must be this host's, and free.
func (c *checker) listeners() {
	for i, l := range c.Config.Intercept.Listen {
		if c.links != nil && !c.has(l.Addr()) && !l.Addr().IsUnspecified() && !l.Addr().IsLoopback() {
			c.find(listenAbsent, fmt.Sprintf("intercept.listen[%d]", i), fmt.Sprintf("%s is not an address of this host", l.Addr()), "")
		}
	}
	if given := c.givenSockets(); given != nil {
		c.compareSockets(given)
		return
	}
	if c.Host.SocketsGiven || c.Host.Serving {
		return // a reload opens what is new before it changes anything
	}
	own := -1
	if c.serving() {
		own = c.Host.own().ID
		if u, err := c.eyes(); err == nil && u != nil {
			own = u.ID
		}
	}
	sockets := c.Host.sockets()
	for _, l := range c.Config.Listeners() {
		if c.Host.Listens != nil && c.Host.Listens(l) {
			continue
		}
		if i := slices.IndexFunc(sockets, func(s socket) bool { return s.user != own && s.collides(l) }); i >= 0 {
			who := cmp.Or(host.Holder(c.Host.proc(""), sockets[i].inode), "something else")
			c.find(portTaken, "intercept.listen", fmt.Sprintf("%s listens on %s, where kanmon is to listen on %s", who, sockets[i].at, l), fmt.Sprintf("ss -ltnp 'sport = :%d'", l.Port()))
		}
	}
}

// serving reports whether kanmon runs already.
func (c *checker) serving() bool {
	if c.service != nil && c.service.Active {
		return true
	}
	if c.Host.Service == nil || c.Config.Admin.Socket == "" {
		return false
	}
	conn, err := net.DialTimeout("unix", c.Config.Admin.Socket, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// givenSockets are those that kanmon.socket opens; nil: kanmon opens its own.
func (c *checker) givenSockets() []netip.AddrPort {
	if c.service == nil {
		return nil
	}
	return c.service.Sockets
}

// compareSockets: kanmon takes all the sockets it is given and opens none beside them.
func (c *checker) compareSockets(given []netip.AddrPort) {
	want := c.Config.Listeners()
	for _, a := range want {
		if !slices.Contains(given, a) {
			c.find(socketsDiffer, "intercept.listen", fmt.Sprintf("kanmon.socket does not open %s", a), fmt.Sprintf("systemctl edit kanmon.socket: [Socket] ListenStream=%s", a))
		}
	}
	for _, a := range given {
		if !slices.Contains(want, a) {
			c.find(socketsDiffer, "kanmon.socket", fmt.Sprintf("it opens %s, which is neither in intercept.listen nor a tenant's listen_port", a), "take the line out of kanmon.socket, or add the address to listen")
		}
	}
}

// A socket that listens.
type socket struct {
	at    netip.AddrPort
	user  int
	inode string
}

// collides reports whether a second listener could not be.
func (s socket) collides(a netip.AddrPort) bool {
	wide := s.at.Addr().IsUnspecified() || a.Addr().IsUnspecified()
	sameFamily := s.at.Addr().Is4() == a.Addr().Is4()
	return s.at.Port() == a.Port() && (s.at.Addr() == a.Addr() || wide && sameFamily)
}

// sockets returns the listening TCP sockets of this network namespace (proc_net_tcp).
func (h *Host) sockets() (list []socket) {
	for _, file := range []string{"thread-self/net/tcp", "thread-self/net/tcp6"} {
		f, err := os.Open(h.proc(file))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// sl local rem st tx:rx tr:when retrnsmt uid timeout inode …
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != "0A" {
				continue
			}
			at, ok := parseSocket(fields[1])
			user, err := strconv.Atoi(fields[7])
			if ok && err == nil {
				list = append(list, socket{at, user, fields[9]})
			}
		}
		_ = f.Close()
	}
	return list
}

// parseSocket reads the kernel's "0100007F:2729": words of four octets, each with its last octet first.
func parseSocket(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	octets, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil {
		return netip.AddrPort{}, false
	}
	for i := 0; i+4 <= len(octets); i += 4 {
		slices.Reverse(octets[i : i+4])
	}
	a, ok := netip.AddrFromSlice(octets)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok
}

// user: the rules know kanmon's own traffic by its user.
func (c *checker) user() {
	in := &c.Config.Intercept
	if in.User == "" || !in.Local && !in.ManageRules {
		return
	}
	named, err := c.Host.FindUser(in.User)
	if err != nil {
		c.find(userMissing, "intercept.user", fmt.Sprintf("there is no user %q, so the rules cannot leave its traffic alone", in.User), "useradd --system --no-create-home --shell /usr/sbin/nologin "+in.User)
		return
	}
	runs, err := c.eyes()
	if err != nil {
		return
	}
	own := c.Host.own()
	if runs == nil {
		runs = &own
	}
	if in.Local && runs.ID != named.ID {
		c.find(userDiffers, "intercept.user", fmt.Sprintf("the rules leave the mail of user %s alone (id %d), but kanmon runs as %s (id %d): its own mail would come back to it", in.User, named.ID, runs.Name, runs.ID), "")
	}
}

// programs that kanmon or its rules unit runs.
func (c *checker) programs() {
	const what, cure = "the program nft is not installed", "apt-get install nftables"
	switch _, err := c.Host.find("nft"); {
	case err == nil:
	case c.Config.Intercept.ManageRules:
		c.find(programNeeded, "intercept.manage_rules", what, cure)
	default:
		c.find(programMissing, "intercept.manage_rules", what+": `kanmon rules apply` needs it", cure)
	}
}

// Capabilities, as numbered in capabilities(7) and as systemd writes them.
const (
	capNetAdmin     = 12
	capNetRaw       = 13
	nameNetAdmin    = "cap_net_admin"
	nameNetRaw      = "cap_net_raw"
	addCapabilities = "systemctl edit kanmon: [Service] AmbientCapabilities=%s CapabilityBoundingSet=%s PrivateUsers=no"
	addFolders      = " StateDirectory=kanmon-rules RuntimeDirectory=kanmon-rules RuntimeDirectoryPreserve=yes" // where rules are kept, and where their guard tells how it is
)

// can reports whether kanmon has a capability: its unit's say, where there is one.
func (c *checker) can(number uint, name string) bool {
	if c.service != nil {
		return slices.Contains(c.service.Ambient, name) || c.service.User == "" || c.service.User == "root"
	}
	return c.Host.capable(number)
}

// privileges of the service. Where nothing is known of one, those of this process say little.
func (c *checker) privileges() {
	in := &c.Config.Intercept
	lacks := func(key, what, capability, cure string) {
		switch {
		case c.service != nil:
			c.find(capabilityMissing, key, fmt.Sprintf("%s needs %s, which %s lacks", what, capability, c.service.Unit), cure)
		case c.Host.Service == nil:
			c.find(capabilityMissing, key, fmt.Sprintf("%s needs %s, which this process lacks", what, capability), cure)
		default:
			c.unchecked(c.Config.Where(key), fmt.Sprintf("%s needs %s, which this process lacks, and kanmon may have it", what, capability))
		}
	}
	if in.ManageRules && !c.can(capNetAdmin, nameNetAdmin) {
		lacks("intercept.manage_rules", "applying rules", "CAP_NET_ADMIN", "want manage_rules = false with kanmon-rules.service, or: "+fmt.Sprintf(addCapabilities, "CAP_NET_ADMIN", "CAP_NET_ADMIN")+addFolders)
	}
	c.memoryOfRules()
	raw := c.can(capNetRaw, nameNetRaw) || c.can(capNetAdmin, nameNetAdmin)
	if in.Mode == intercept.TProxy && !raw && !c.Host.SocketsGiven && c.givenSockets() == nil {
		lacks("intercept.mode", "a transparent listener", "CAP_NET_RAW", "systemctl enable kanmon.socket, or: "+fmt.Sprintf(addCapabilities, "CAP_NET_RAW", "CAP_NET_RAW"))
	}
	if in.Mark != 0 && !raw {
		lacks("intercept.mark", "marking connections", "CAP_NET_RAW", `want user = "kanmon" instead of mark, or: `+fmt.Sprintf(addCapabilities, "CAP_NET_RAW", "CAP_NET_RAW"))
	}
}

// memoryOfRules: a kanmon that manages its rules must be able to remember them.
func (c *checker) memoryOfRules() {
	if !c.Config.Intercept.ManageRules {
		return
	}
	keeper, _ := c.Host.kept()
	folder := keeper.Folder()
	if c.service != nil {
		if !c.service.makes(folder) && !underAny(folder, c.service.ReadWrite) {
			c.find(rulesNotKept, "intercept.manage_rules", fmt.Sprintf("%s does not let kanmon write in %s", c.service.Unit, folder), "systemctl edit kanmon: [Service]"+addFolders)
		}
		return
	}
	if c.Host.Service != nil {
		return // it is not known who will run it
	}
	for path := folder; ; path = filepath.Dir(path) {
		err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ENOENT) || path == filepath.Dir(path) {
			c.find(rulesNotKept, "intercept.manage_rules", fmt.Sprintf("%s cannot be written: %s: %v", folder, path, err), "systemctl edit kanmon: [Service]"+addFolders)
			return
		}
	}
}

// reach: a redirected connection comes to the first address of the interface it came in by, unless kanmon listens on an address of its own.
func (c *checker) reach() {
	if c.Rules.Mode != intercept.Redirect {
		return
	}
	told := map[string]bool{}
	for _, in := range c.ingress() {
		for _, v6 := range []bool{false, true} {
			if told[fmt.Sprint(in.link.Name, v6)] || in.family != familyOf(v6) || !c.Config.Intercept.ListensFor(!v6) || c.Rules.ComesTo(v6).IsValid() {
				continue
			}
			told[fmt.Sprint(in.link.Name, v6)] = true
			if !slices.ContainsFunc(in.link.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() == v6 }) {
				c.find(linkWithoutAddress, in.key, fmt.Sprintf("%s comes in by %s, which has no %s address", in.what, in.link.Name, familyName(v6)), fmt.Sprintf("ip address add ADDRESS dev %s, or mode = \"tproxy\"", in.link.Name))
			}
		}
	}
}
