package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"kanmon/internal/config"
	"kanmon/internal/intercept"
	"kanmon/internal/session"
)

// A door is a listener that can be opened and closed without the others. Wildcard addresses share one, if they have one port, because
// what [::] takes depends on whether 0.0.0.0 is there.
type door struct {
	addresses []netip.AddrPort
	listener  *intercept.Listener
	served    chan struct{} // closed when accepting has ended; nil before serve
	taken     atomic.Int64  // intercepted connections
}

func (o *door) serve() {
	o.served = make(chan struct{})
	go func() {
		defer close(o.served)
		o.listener.Serve()
	}()
}

func (o *door) close() error {
	err := o.listener.Close()
	if o.served != nil {
		<-o.served
	}
	return err
}

// groups parts addresses into those that a door must have together.
func groups(listen []netip.AddrPort) [][]netip.AddrPort {
	wildcards := map[uint16][]netip.AddrPort{}
	var list [][]netip.AddrPort
	for _, a := range listen {
		if a.Addr().IsUnspecified() {
			wildcards[a.Port()] = append(wildcards[a.Port()], a)
		} else {
			list = append(list, []netip.AddrPort{a})
		}
	}
	for _, port := range slices.Sorted(maps.Keys(wildcards)) {
		slices.SortFunc(wildcards[port], netip.AddrPort.Compare)
		list = append(list, wildcards[port])
	}
	return list
}

func (d *Daemon) newDoor(cfg *config.Config, addresses []netip.AddrPort) *door {
	o := &door{addresses: addresses}
	o.listener = &intercept.Listener{
		Dedicated: dedicated(cfg, addresses),
		Mode:      cfg.Intercept.Mode,
		Loops:     d.loops,
		Handle: func(conn *net.TCPConn, origin session.Origin) {
			o.taken.Add(1)
			d.handle(conn, origin)
		},
		Refuse: d.refuse,
		Log:    d.log,
	}
	o.setWires(cfg)
	return o
}

// dedicated reports whether addresses are those of a tenant's port.
func dedicated(cfg *config.Config, addresses []netip.AddrPort) bool {
	return !slices.Contains(cfg.Intercept.Listen, addresses[0])
}

// errPlacesChanged tells that a port that was for all tenants is to be a single one's, or the other way round: the
// sockets of one cannot serve as the other's, nor stand beside them, and until the rules have changed, too, one's mail
// would be taken for the other's.
func errPlacesChanged(cfg *config.Config, addresses []netip.AddrPort) error {
	return fmt.Errorf("%v was in intercept.listen and is a tenant's listen_port now, or the other way round: %s", addresses, anew(cfg))
}

// ownPlace explains that addresses cannot be opened because kanmon itself listens there, at others of the same port.
func (d *Daemon) ownPlace(cfg *config.Config, addresses []netip.AddrPort, err error) error {
	if !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	doors := slices.Clone(d.doors)
	for _, one := range d.lingering.list() {
		doors = append(doors, one.door)
	}
	i := slices.IndexFunc(doors, func(o *door) bool { return o.addresses[0].Port() == addresses[0].Port() })
	if i < 0 {
		return err
	}
	return fmt.Errorf("%w: kanmon itself listens on %v, as the configuration before wants it: %s", err, doors[i].addresses, anew(cfg))
}

// anew is the step that a reload cannot do.
func anew(cfg *config.Config) string {
	if cfg.Intercept.ManageRules {
		return "use another port, or run \"systemctl restart kanmon\""
	}
	return "use another port, or run \"systemctl stop kanmon && kanmon rules apply && systemctl start kanmon\"; mail waits in the MSAs meanwhile"
}

// setWires tells the listener which interfaces its port is for.
func (o *door) setWires(cfg *config.Config) {
	var interfaces []string
	if i := slices.IndexFunc(cfg.Tenants, func(t config.Tenant) bool { return t.ListenPort == int(o.addresses[0].Port()) }); i >= 0 {
		interfaces = cfg.Tenants[i].Interfaces
	}
	o.listener.SetWires(interfaces)
}

// openFirstDoors opens all listeners, or adopts those that systemd has opened.
func (d *Daemon) openFirstDoors(ctx context.Context, sockets []net.Listener) error {
	for _, addresses := range groups(d.cfg.Listeners()) {
		o := d.newDoor(d.cfg, addresses)
		rest, err := o.adopt(sockets)
		if err == nil && len(rest) == len(sockets) {
			err = d.open(ctx, o)
		}
		if err != nil {
			return errors.Join(err, o.close(), d.closeDoors())
		}
		sockets = rest
		d.doors = append(d.doors, o)
	}
	if len(sockets) > 0 {
		err := fmt.Errorf("systemd opened %s, which is neither in intercept.listen nor a tenant's listen_port", describe(sockets[0]))
		return errors.Join(err, d.closeDoors())
	}
	return nil
}

// open opens a door's addresses, or takes what a kanmon that has died has left of them.
func (d *Daemon) open(ctx context.Context, o *door) error {
	if taken, err := d.shelf.take(o); taken || err != nil {
		return err
	}
	return o.listener.Open(ctx, o.addresses)
}

// adopt takes the sockets of the door's addresses out of those that systemd opened: all of them, or none.
func (o *door) adopt(sockets []net.Listener) (rest []net.Listener, err error) {
	taken := 0
	for _, socket := range sockets {
		if socket == nil || !slices.Contains(o.addresses, addressOf(socket)) {
			rest = append(rest, socket)
			continue
		}
		if err := o.listener.Adopt(socket); err != nil {
			return sockets, err
		}
		taken++
	}
	if taken > 0 && taken < len(o.addresses) {
		return rest, fmt.Errorf("systemd opened only some of %v: it must open all of them or none", o.addresses)
	}
	return rest, nil
}

func addressOf(l net.Listener) netip.AddrPort {
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func describe(l net.Listener) string {
	if l == nil {
		return "a socket that does not listen"
	}
	return l.Addr().String()
}

// closeAll closes what is not closed yet.
func closeAll(sockets []net.Listener) error {
	var errs []error
	for _, s := range sockets {
		if s != nil {
			if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// A doorPlan is a change of listeners, up to the point where nothing can fail any more.
type doorPlan struct {
	cfg                   *config.Config
	kept, opened, dropped []*door
	revived               []*lingeringDoor // of kept: an earlier change had dropped them
}

// planDoors opens the listeners that a configuration adds. Those it drops stay open.
func (d *Daemon) planDoors(ctx context.Context, cfg *config.Config) (*doorPlan, error) {
	plan := &doorPlan{cfg: cfg, dropped: slices.Clone(d.doors)}
	for _, addresses := range groups(cfg.Listeners()) {
		same := func(o *door) bool { return slices.Equal(o.addresses, addresses) }
		if i := slices.IndexFunc(plan.dropped, same); i >= 0 {
			if plan.dropped[i].listener.Dedicated != dedicated(cfg, addresses) {
				d.abandon(plan)
				return nil, errPlacesChanged(cfg, addresses)
			}
			plan.kept = append(plan.kept, plan.dropped[i])
			plan.dropped = slices.Delete(plan.dropped, i, i+1)
			continue
		}
		if one := d.lingering.take(addresses); one != nil {
			plan.kept, plan.revived = append(plan.kept, one.door), append(plan.revived, one)
			if one.listener.Dedicated != dedicated(cfg, addresses) {
				d.abandon(plan)
				return nil, errPlacesChanged(cfg, addresses)
			}
			continue
		}
		o := d.newDoor(cfg, addresses)
		if err := o.listener.Open(ctx, addresses); err != nil {
			d.abandon(plan)
			return nil, d.ownPlace(cfg, addresses, err)
		}
		plan.opened = append(plan.opened, o)
	}
	return plan, nil
}

// abandon undoes a plan.
func (d *Daemon) abandon(p *doorPlan) {
	for _, o := range p.opened {
		_ = o.close() // nothing was accepted
	}
	for _, one := range p.revived {
		d.lingerOn(&lingeringDoor{door: one.door, replacements: one.replacements, applied: one.applied})
	}
}

// carryOut serves what the plan opened. What it drops is closed once nothing comes to it any more: soon, where the rules are new already.
func (d *Daemon) carryOut(p *doorPlan, applied bool) {
	for _, o := range p.kept {
		o.setWires(p.cfg)
	}
	for _, o := range p.opened {
		o.serve()
	}
	replacements := slices.Clone(p.opened)
	for _, one := range p.revived {
		replacements = append(replacements, one.door)
	}
	d.linger(p.dropped, replacements, applied)
	d.doors = append(p.kept, p.opened...)
	if !d.host.SocketsGiven {
		d.shelf.lay(d.doors)
	}
}

func (d *Daemon) closeDoors() error {
	errs := []error{d.lingering.close(), d.shelf.empty()}
	for _, o := range d.doors {
		errs = append(errs, o.close())
	}
	d.doors = nil
	return errors.Join(errs...)
}

func (d *Daemon) addrs() []netip.AddrPort {
	var list []netip.AddrPort
	for _, o := range d.doors {
		list = append(list, o.listener.Addrs()...)
	}
	return list
}
