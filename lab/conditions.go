package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kanmon/test/netlab"
)

// The conditions of an experiment stand in each of its figures and on the page: the settings and destinations that make the effect
// visible, or hide it.

// Fig4Conditions are those of the tarpit mails.
func (r *results) Fig4Conditions() string {
	f := r.plan.fig4
	return fmt.Sprintf("%d tenants submit %d normal mails a second each to %d domains, whose MX waits %s before each reply. At %.0f s tenant %d submits "+
		"%d mails to tarpits, which wait %s after each character. %s \"50 processes\": %s in addition.",
		tenants, perTenant, normalDomains, milliseconds(farMX), f.tarpit.Seconds(), culprit, tarpitMails, milliseconds(tarpitPace), r.postfixConditions(),
		settingsText(congesting))
}

// MassConditions are those of the mass of mail.
func (r *results) MassConditions() string {
	m := r.plan.mass
	return fmt.Sprintf("Tenant %d submits %d mails from second %.0f on, as fast as they are taken; each other tenant submits %d a second until second %.0f. "+
		"All go to %d domains, whose MX waits %s before each reply. %s",
		culprit, m.mails, m.inject.Seconds(), perTenant, m.submit.Seconds(), normalDomains, milliseconds(farMX), r.postfixConditions())
}

// ScaleConditions are those of the held sessions.
func (r *results) ScaleConditions() string {
	return fmt.Sprintf("%d tenants send one mail a second each to %d domains, whose MX waits %s before each reply: %d by a Postfix of their own, the others as "+
		"light submitters, straight to the MX. A tarpit answers the held sessions' EHLO and never their MAIL. A process may have %d descriptors. %s",
		r.Scale.Tenants, normalDomains, milliseconds(nearMX), tenants, r.Scale.Descriptors, r.postfixConditions())
}

// MemoryConditions are those of the in-memory sessions.
func (*results) MemoryConditions() string {
	return "Sessions of kanmon's engine between in-memory connections, plain, held at an unanswered MAIL; no Postfix, no network. Counted are heap and " +
		"stacks of the Go runtime after a collection. Not counted are the connections, which a kernel would have, TLS, records, and memory " +
		"that the runtime keeps for itself."
}

// ListingConditions are those of the listing.
func (r *results) ListingConditions() string {
	d := r.Postfix
	return fmt.Sprintf("%d tenants submit %d mails a second each until second %.0f to %d domains, whose MX waits %s before each reply and refuses %v from second %.0f on. "+
		"Two MTAs: tenants 1 to %d share a Postfix that sends from %v, the others one that sends from %v. kanmon: a Postfix for each tenant, and kanmon sends from both. "+
		"Delayed: delivered more than %.0f s after it was due. Stuck: in a queue at the end. %s Of the defaults, these are about refused mail: queue_run_delay = %s, "+
		"minimal_backoff_time = %s, maximal_backoff_time = %s, maximal_queue_lifetime = %s, smtp_skip_5xx_greeting = %s.",
		listingTenants, listingRate, r.plan.listing.submit.Seconds(), normalDomains, milliseconds(farMX), listedIP, r.plan.listing.at.Seconds(),
		listingTenants/2, netlab.SendingIPv4, netlab.OtherSendingIPv4, delayedAfter.Seconds(), r.postfixConditions(),
		d.QueueRuns, d.FirstPause, d.LongestPause, d.GivenUp, d.SkipRefused)
}

func (r *results) postfixConditions() string {
	d := r.Postfix
	return fmt.Sprintf("Postfix %s with its defaults (%s processes of a kind; to one domain %s sessions at first and %s at most; %s mails in the active "+
		"queue) but for %s.", d.Version, d.Processes, d.Initial, d.Sessions, d.Active, settingsText(labSettings))
}

func settingsText(settings map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		out = append(out, name+" = "+settings[name])
	}
	return strings.Join(out, ", ")
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.0f ms", d.Seconds()*1000) }
