package contain

import "strings"

// Lists and forwarders look like abuse: one sends to many, some of whom are gone; the other sends what strangers have written, spam
// included. Which of the two it is only a person knows, so a decision names both readings. It weighs nothing.

// looks returns what a subject that is about to be contained looks like, and says it; Plain and "" for nothing of the kind.
func (d *Detector) looks(e *entry, r *Reading) (Kind, string) {
	if r.Signal == Quiet || r.Signal == Hand || e.kind != Plain || e.Account == NullSender {
		return Plain, ""
	}
	if e.Account == "" {
		if d.foreign(e.owner, r) {
			return Forwarder, looksForwarded
		}
		return Plain, ""
	}
	x := e.evidence
	most := func(n uint32) bool { return x != nil && n > 0 && 2*n >= x.all }
	switch many := e.distinct > d.policy.AccountVolume/4; {
	case x != nil && most(x.srs), r.Signal == Volume && e.traits&WasForwarded != 0:
		return Forwarder, looksSRS
	case r.Signal != Volume && r.Signal != UnknownRecipients && r.Signal != Content:
		return Plain, ""
	case x != nil && most(x.verp):
		return List, looksVERP
	case many:
		return List, looksMany
	}
	return Plain, ""
}

const (
	looksVERP = "; it looks like a mailing list, since its senders name their recipients, or like an account that was stolen:" +
		" if it is a list, kanmon account kind ACCOUNT list"
	looksMany = "; one sender to very many recipients looks like a mailing list, or like an account that was stolen:" +
		" if it is a list, kanmon account kind ACCOUNT list"
	looksSRS = "; it looks like forwarding, since its senders are of SRS, or like a relay that was stolen:" +
		" if it forwards, kanmon account kind ACCOUNT forwarder"
	looksForwarded = "; many senders of other domains look like forwarding, or like a relay that was stolen:" +
		" if it forwards, kanmon tenant kind TENANT forwarder"
)

// foreign reports whether most of what counts against a tenant is of senders of many domains, none of them known as its own.
func (d *Detector) foreign(t *tenant, r *Reading) bool {
	domains := 0
	switch r.Signal {
	case SpreadUnknown, SpreadContent:
		t.foreign.expire(d.time.minute)
		domains = int(t.foreign.estimate() + 0.5)
	case ManyAccounts:
		seen := map[string]struct{}{}
		for a := t.held.first; a != nil; a = a.next {
			if a.countedAt > Normal && a.traits&OwnDomain == 0 {
				seen[domainOf(a.Account)] = struct{}{}
			}
		}
		domains = len(seen)
	}
	return domains >= fewDomains && 2*domains >= r.Accounts
}

// fewDomains are not yet many: one customer may have some.
const fewDomains = 5

// domainOf returns what stands behind the last @; "" if there is none.
func domainOf(account string) string {
	at := strings.LastIndexByte(account, '@')
	if at < 0 {
		return ""
	}
	return account[at+1:]
}
