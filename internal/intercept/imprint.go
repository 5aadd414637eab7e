package intercept

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// imprintForm stands in front of an imprint. Those of versions that took it of a listing of nft's have none.
const imprintForm = "kernel1:"

// imprint identifies what the kernel has of a table; "" is none. It is made of what the kernel itself says, and not of a listing of nft's:
// an upgrade of nft words the same rules otherwise. What does not change what the rules do (numbers that the kernel gives, counters, who is
// held) is none of it.
func imprint(table string) (string, error) {
	var all [][]byte
	for _, part := range []func(string) ([][]byte, error){tableParts, chainParts, ruleParts, setParts} {
		list, err := part(table)
		if err != nil {
			return "", fmt.Errorf("ask the kernel for the firewall rules: %w", err)
		}
		if list == nil && all == nil {
			return "", nil // no table
		}
		all = append(all, list...)
	}
	sum := sha256.New()
	for _, part := range all {
		sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		sum.Write(part)
	}
	return imprintForm + hex.EncodeToString(sum.Sum(nil)), nil
}

// An object is what the kernel says of a table, a chain, a rule, a set or elements of a set.
type object []syscall.NetlinkRouteAttr

// get returns an attribute; nil: there is none.
func (o object) get(kind uint16) []byte {
	i := slices.IndexFunc(o, func(a syscall.NetlinkRouteAttr) bool { return a.Attr.Type&nl.NLA_TYPE_MASK == kind })
	if i < 0 {
		return nil
	}
	return o[i].Value
}

// text is an attribute that is one.
func (o object) text(kind uint16) string { return unix.ByteSliceToString(o.get(kind)) }

// number is an attribute that is one; 0: there is none.
func (o object) number(kind uint16) uint32 {
	if value := o.get(kind); len(value) == 4 {
		return binary.BigEndian.Uint32(value)
	}
	return 0
}

// pick writes down some attributes.
func (o object) pick(kinds ...uint16) (text []byte) {
	for _, kind := range kinds {
		value := o.get(kind)
		text = binary.BigEndian.AppendUint16(text, kind)
		text = binary.BigEndian.AppendUint32(text, uint32(len(value)))
		text = append(text, value...)
	}
	return text
}

// objects asks the kernel for all of a kind; again if they changed meanwhile.
func objects(get, answer uint16, wanted ...*nl.RtAttr) (list []object, err error) {
	const subsystem = unix.NFNL_SUBSYS_NFTABLES << 8
	var messages [][]byte
	for range 5 {
		request := nl.NewNetlinkRequest(subsystem|int(get), unix.NLM_F_DUMP)
		request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_INET, Version: nl.NFNETLINK_V0})
		for _, a := range wanted {
			request.AddData(a)
		}
		if messages, err = request.Execute(unix.NETLINK_NETFILTER, subsystem|answer); !errors.Is(err, nl.ErrDumpInterrupted) {
			break
		}
	}
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w (%w)", err, errNotPermitted)
	}
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if len(m) >= sizeofNfgenmsg && m[0] == unix.NFPROTO_INET {
			list = append(list, attributes(m[sizeofNfgenmsg:]))
		}
	}
	return list, nil
}

// objectsOf leaves those of other tables out.
func objectsOf(table string, get, answer uint16) ([]object, error) {
	const name = unix.NFTA_TABLE_NAME // of all kinds, the first attribute is the table's name
	list, err := objects(get, answer, nl.NewRtAttr(name, nl.ZeroTerminated(table)))
	return slices.DeleteFunc(list, func(o object) bool { return o.text(name) != table }), err
}

// chainsOf returns the names of a table's chains.
func chainsOf(table string) (names []string, err error) {
	list, err := objectsOf(table, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_NEWCHAIN)
	for _, o := range list {
		names = append(names, o.text(unix.NFTA_CHAIN_NAME))
	}
	return names, err
}

func tableParts(table string) (parts [][]byte, err error) {
	list, err := objects(unix.NFT_MSG_GETTABLE, unix.NFT_MSG_NEWTABLE)
	for _, o := range list {
		if o.text(unix.NFTA_TABLE_NAME) == table {
			parts = append(parts, o.pick(unix.NFTA_TABLE_NAME, unix.NFTA_TABLE_FLAGS))
		}
	}
	return parts, err
}

func chainParts(table string) (parts [][]byte, err error) {
	list, err := objectsOf(table, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_NEWCHAIN)
	for _, o := range list {
		parts = append(parts, o.pick(unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_HOOK, unix.NFTA_CHAIN_TYPE, unix.NFTA_CHAIN_POLICY))
	}
	slices.SortFunc(parts, bytes.Compare)
	return parts, err
}

// ruleParts returns the rules in their order, chain by chain.
func ruleParts(table string) (parts [][]byte, err error) {
	list, err := objectsOf(table, unix.NFT_MSG_GETRULE, unix.NFT_MSG_NEWRULE)
	slices.SortStableFunc(list, func(a, b object) int {
		return bytes.Compare(a.get(unix.NFTA_RULE_CHAIN), b.get(unix.NFTA_RULE_CHAIN))
	})
	for _, o := range list {
		part := o.pick(unix.NFTA_RULE_CHAIN)
		for _, a := range attributes(o.get(unix.NFTA_RULE_EXPRESSIONS)) {
			expression := object(attributes(a.Value))
			if expression.text(unix.NFTA_EXPR_NAME) == "counter" {
				part = append(part, expression.pick(unix.NFTA_EXPR_NAME)...)
			} else {
				part = append(part, expression.pick(unix.NFTA_EXPR_NAME, unix.NFTA_EXPR_DATA)...)
			}
		}
		parts = append(parts, part)
	}
	return parts, err
}

const elementKeyEnd = 10 // NFTA_SET_ELEM_KEY_END (nf_tables.h)

func setParts(table string) (parts [][]byte, err error) {
	sets, err := objectsOf(table, unix.NFT_MSG_GETSET, unix.NFT_MSG_NEWSET)
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		parts = append(parts, set.pick(unix.NFTA_SET_NAME, unix.NFTA_SET_FLAGS, unix.NFTA_SET_KEY_TYPE, unix.NFTA_SET_KEY_LEN, unix.NFTA_SET_TIMEOUT))
		if set.number(unix.NFTA_SET_FLAGS)&(unix.NFT_SET_TIMEOUT|unix.NFT_SET_EVAL) != 0 {
			continue // who is held comes and goes
		}
		lists, err := objects(unix.NFT_MSG_GETSETELEM, unix.NFT_MSG_NEWSETELEM,
			nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_TABLE, nl.ZeroTerminated(table)), nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_SET, set.get(unix.NFTA_SET_NAME)))
		if err != nil {
			return nil, err
		}
		for _, l := range lists {
			for _, a := range attributes(l.get(unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				element := object(attributes(a.Value))
				parts = append(parts, append(set.pick(unix.NFTA_SET_NAME),
					element.pick(unix.NFTA_SET_ELEM_KEY, elementKeyEnd, unix.NFTA_SET_ELEM_DATA, unix.NFTA_SET_ELEM_FLAGS)...))
			}
		}
	}
	slices.SortFunc(parts, bytes.Compare)
	return parts, nil
}
