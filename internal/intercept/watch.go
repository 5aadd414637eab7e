package intercept

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A change is something that may have taken rules away.
type change struct {
	by    string // the program that did it, where the kernel tells: "nft (process 812)"
	links bool   // of interfaces alone
}

// watch tells of changes to a table and to policy routes as they happen, until ctx ends. To hear of the table needs CAP_NET_ADMIN.
func watch(ctx context.Context, table string) (<-chan change, error) {
	changes := make(latest, 1)
	filter := &tableFilter{table: table}
	err := follow(ctx, unix.NETLINK_NETFILTER, []uint{unix.NFNLGRP_NFTABLES}, func(m syscall.NetlinkMessage) {
		if c, ok := filter.take(m); ok {
			changes.tell(c)
		}
	}, changes)
	if err != nil {
		return nil, fmt.Errorf("watch the firewall's tables: %w", err)
	}
	return changes, followRoutes(ctx, changes)
}

// watchRoutes tells of changes to policy routes alone, which needs no privilege.
func watchRoutes(ctx context.Context) (<-chan change, error) {
	changes := make(latest, 1)
	return changes, followRoutes(ctx, changes)
}

func followRoutes(ctx context.Context, changes latest) error {
	groups := []uint{unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_LINK}
	err := follow(ctx, unix.NETLINK_ROUTE, groups, func(m syscall.NetlinkMessage) {
		switch m.Header.Type {
		case unix.RTM_DELRULE, unix.RTM_NEWRULE:
			changes.tell(change{})
		case unix.RTM_DELROUTE:
			if bringsHere(m.Data) {
				changes.tell(change{})
			}
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			changes.tell(change{links: true})
		}
	}, changes)
	if err != nil {
		return fmt.Errorf("watch the policy routes: %w", err)
	}
	return nil
}

// bringsHere reports whether a route may be kanmon's: a router forgets thousands of others in a second.
func bringsHere(message []byte) bool {
	return len(message) >= unix.SizeofRtMsg && nl.DeserializeRtMsg(message).Type == unix.RTN_LOCAL && nl.DeserializeRtMsg(message).Dst_len == 0
}

// latest keeps the last change that was not heard of yet: it is as many as come while nobody listens.
type latest chan change

func (l latest) tell(c change) {
	for {
		select {
		case l <- c:
			return
		default:
		}
		select {
		case before := <-l:
			c.links = c.links && before.links
			c.by = cmp.Or(c.by, before.by)
		default:
		}
	}
}

// follow reads what the kernel tells of groups until ctx ends. When it has told more than was read, anything may have changed.
func follow(ctx context.Context, protocol int, groups []uint, take func(syscall.NetlinkMessage), changes latest) error {
	s, err := nl.Subscribe(protocol, groups...)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, s.Close)
	go func() {
		for {
			messages, _, err := s.Receive()
			switch {
			case errors.Is(err, os.ErrClosed) || ctx.Err() != nil:
				return
			case errors.Is(err, unix.ENOBUFS):
				changes.tell(change{})
			case err != nil:
				changes.tell(change{})
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
			for _, m := range messages {
				take(m)
			}
		}
	}()
	return nil
}

// A tableFilter finds the transactions that touch a table: messages of what is touched, and then one of who did it.
type tableFilter struct {
	table   string
	touched bool
}

func (f *tableFilter) take(m syscall.NetlinkMessage) (change, bool) {
	if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < sizeofNfgenmsg {
		return change{}, false
	}
	attributes, err := nl.ParseRouteAttr(m.Data[sizeofNfgenmsg:])
	if err != nil {
		return change{}, true
	}
	if m.Header.Type&0xff != unix.NFT_MSG_NEWGEN {
		for _, a := range attributes {
			// The first attribute of a table, a chain, a rule, a set and a set's elements is the table's name.
			f.touched = f.touched || a.Attr.Type == unix.NFTA_TABLE_NAME && string(bytes.TrimRight(a.Value, "\x00")) == f.table
		}
		return change{}, false
	}
	touched := f.touched
	f.touched = false
	return change{by: doer(attributes)}, touched
}

// sizeofNfgenmsg is what stands in front of the attributes (linux/netfilter/nfnetlink.h).
const sizeofNfgenmsg = 4

// doer gives the process that made a transaction (linux/netfilter/nf_tables.h).
func doer(attributes []syscall.NetlinkRouteAttr) string {
	name, pid := "", uint32(0)
	for _, a := range attributes {
		switch {
		case a.Attr.Type == unix.NFTA_GEN_PROC_NAME:
			name = string(bytes.TrimRight(a.Value, "\x00"))
		case a.Attr.Type == unix.NFTA_GEN_PROC_PID && len(a.Value) == 4:
			pid = binary.BigEndian.Uint32(a.Value)
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%s (process %d)", name, pid)
}
