package warm

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Voice is who has something against an IP, and whose mail has met it. The zero Voice is the provider itself that a class is of. All else is a
// witness: a customer of the provider, or one of all others.
type Voice struct {
	Receiver string // what is known of a witness: his network, domains; separated by blanks
	Tenant   string // "": there is but one, or mail of several has met it
}

// saysAll reports whether the class is against the IP where this voice is: it speaks for the class.
func (v Voice) saysAll(class string) bool { return class != Others && v == Voice{} }

// isApart reports whether two witnesses have nothing to do with each other: nothing that is known of them is the same, and no tenant has met both, who
// may have MXs of his own, and mail for them.
func (v Voice) isApart(other Voice) bool {
	return v.Receiver != "" && other.Receiver != "" && !v.isReceiver(other) && (v.Tenant == "" || other.Tenant == "" || v.Tenant != other.Tenant)
}

// isReceiver reports whether two witnesses may be one receiver: anything that is known of them is the same.
func (v Voice) isReceiver(other Voice) bool {
	known := strings.Fields(other.Receiver)
	return slices.ContainsFunc(strings.Fields(v.Receiver), func(of string) bool { return slices.Contains(known, of) })
}

const tenantMark = "|" // between receiver and tenant, in a file

// MarshalText implements [encoding.TextMarshaler].
func (v Voice) MarshalText() ([]byte, error) {
	if v.Tenant == "" {
		return []byte(v.Receiver), nil
	}
	return []byte(v.Receiver + tenantMark + v.Tenant), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. A row may be of a time when no tenant was told.
func (v *Voice) UnmarshalText(text []byte) error {
	v.Receiver, v.Tenant, _ = strings.Cut(string(text), tenantMark)
	return nil
}

// voices are the last ones of some, the newest first. Copies of a class share them: they are made anew for one more.
type voices []Voice

const mostVoices = 8

// with gives them with another one, in place of the oldest.
func (all *voices) with(v Voice) *voices {
	next := voices{v}
	if all != nil {
		next = append(next, (*all)[:min(len(*all), mostVoices-1)]...)
	}
	return &next
}

// bound gives what there may be of what a file has.
func (all *voices) bound() *voices {
	known := slices.DeleteFunc(slices.Clone(all.each()), func(v Voice) bool { return v.Receiver == "" })
	if len(known) == 0 {
		return nil
	}
	known = known[:min(len(known), mostVoices)]
	return &known
}

// each gives them; nil has none.
func (all *voices) each() voices {
	if all == nil {
		return nil
	}
	return *all
}

// objects notes who has something against the IP. It reports whether that receiver has had today already, and whether the class is against it: what
// speaks for it says so, or two witnesses do. One alone speaks for himself.
func (c *Class) objects(class string, v Voice) (again, all bool) {
	if v.saysAll(class) {
		return false, true
	}
	if v.Receiver == "" {
		return false, false
	}
	known := false
	for _, other := range c.Against.each() {
		again = again || v.isReceiver(other)
		all = all || v.isApart(other)
		known = known || v == other
	}
	if !known {
		c.Against = c.Against.with(v)
	}
	return again, all
}

// spread is how many of these are left if each second one is another witness: who says the same again and again has said it once.
func (all *voices) spread() int {
	most := 0
	for _, v := range all.each() {
		receiver, tenant := 0, 0
		for _, other := range all.each() {
			if v.isReceiver(other) {
				receiver++
			}
			if v.Tenant != "" && v.Tenant == other.Tenant {
				tenant++
			}
		}
		most = max(most, receiver, tenant)
	}
	count := len(all.each())
	return min(count, 2*(count-most)+1)
}

// putOff notes a mail that was put off, and pauses the class where it is too much. Behind that one more is enough: what speaks for the class, or a
// witness apart from the last.
func (c *Class) putOff(class string, by Voice, now time.Time, why string) {
	switch {
	case by.saysAll(class):
		c.PutOff++
	case by.Receiver == "":
		return
	default:
		c.PutBy = c.PutBy.with(by)
	}
	count := c.PutOff + c.PutBy.spread()
	if count < mostPutOff {
		return
	}
	c.pause(now, fmt.Sprintf("%d mails in a row were put off: %s", count, why))
	if by != (Voice{}) {
		c.PutOff, c.PutBy = max(c.PutOff, mostPutOff-2), (*voices)(nil).with(by)
	}
}
