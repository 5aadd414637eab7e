package main

import "time"

// What all experiments have in common.
const (
	farMX      = 200 * time.Millisecond // the normal MX waits so long before each reply
	tarpitPace = 250 * time.Millisecond // the tarpit waits so long after each character, as in the paper

	tenants       = 3
	perTenant     = 10 // normal mails a second of each tenant
	culprit       = 1  // the tenant that causes the trouble
	normalDomains = 10 // domains of normal mail, all at the normal MX
	tarpitMails   = 80
)

// labSettings are the settings of Postfix that are not Debian's in any set-up.
var labSettings = map[string]string{
	"in_flow_delay":                   "0",  // mail is taken without a pause, however long the queue
	"smtp_connect_timeout":            "5s", // so that what cannot be reached shows within a run
	"smtp_connection_cache_on_demand": "no", // a session for each mail
}

// A plan says how long and how much. Times are counted from the start of an experiment.
type plan struct {
	quick bool

	fig4 struct {
		warmUp time.Duration // how long normal mail is submitted before the start, while the servers start their processes
		tarpit time.Duration // when the tarpit mails are submitted
		before time.Duration // how long before that the rate is measured
		submit time.Duration // until when normal mail is submitted
		drain  time.Duration // how long to wait then for what is on its way
	}
	mass struct {
		mails  int
		inject time.Duration // when they are submitted
		submit time.Duration // until when the other tenants submit
		drain  time.Duration
	}
	scale struct {
		tenants int
		calm    time.Duration // how long to wait once all sessions are held, and once all have ended
		quiet   time.Duration // how long then kanmon's CPU without mail is measured
		window  time.Duration // how long is measured, three times
	}
	listing struct {
		at     time.Duration // when the MX lists one of the sending IPs
		submit time.Duration // until when mail is submitted
		drain  time.Duration
	}
	restricted struct {
		warmUp time.Duration // how long normal mail is submitted before the start
		at     time.Duration // when the culprit submits its mass, and the MX restricts its sending IP
		stuck  time.Duration // how long then all processes of a Postfix may take to be held: the rate is measured after it
		submit time.Duration // until when normal mail is submitted
	}
	compromised struct {
		warmUp     time.Duration // how long the others submit before the start, while the servers start their processes
		mails      int           // of the compromised account
		breakIn    time.Duration // when they are submitted
		submit     time.Duration // until when the others submit
		drain      time.Duration
		reputation reputation
	}
	content struct {
		mails  int           // of the compromised account
		submit time.Duration // until when the others submit
	}
	inMemory []int // numbers of sessions
}

func newPlan(quick bool) plan {
	p := plan{quick: quick, inMemory: []int{1_000, 10_000, 100_000}}
	p.fig4.warmUp = 20 * time.Second
	p.fig4.tarpit, p.fig4.before, p.fig4.submit, p.fig4.drain = 60*time.Second, 40*time.Second, 150*time.Second, 90*time.Second
	p.mass.mails, p.mass.inject, p.mass.submit, p.mass.drain = 20_000, 10*time.Second, 60*time.Second, 4*time.Minute
	p.scale.tenants, p.scale.calm, p.scale.quiet, p.scale.window = 200, 8*time.Second, 20*time.Second, 20*time.Second
	p.listing.at, p.listing.submit, p.listing.drain = 50*time.Second, 100*time.Second, 20*time.Second
	p.restricted.warmUp, p.restricted.at, p.restricted.stuck, p.restricted.submit = 10*time.Second, 30*time.Second, 65*time.Second, 140*time.Second
	p.compromised.warmUp, p.compromised.mails = 10*time.Second, 20_000
	p.compromised.breakIn, p.compromised.submit, p.compromised.drain = 12*time.Second, 140*time.Second, 10*time.Second
	p.compromised.reputation = reputation{Unknown: 500, Within: 10 * time.Minute}
	p.content.mails, p.content.submit = 3_000, 60*time.Second
	if quick {
		p.content.mails, p.content.submit = 500, 25*time.Second
		p.compromised.mails = 3_000
		p.compromised.breakIn, p.compromised.submit = 6*time.Second, 30*time.Second
		p.compromised.reputation.Unknown = 50
		p.fig4.warmUp = 10 * time.Second
		p.fig4.tarpit, p.fig4.before, p.fig4.submit, p.fig4.drain = 10*time.Second, 8*time.Second, 41*time.Second, 60*time.Second
		p.mass.mails, p.mass.inject, p.mass.submit, p.mass.drain = 1_500, 4*time.Second, 20*time.Second, time.Minute
		p.scale.calm, p.scale.quiet, p.scale.window = 4*time.Second, 5*time.Second, 6*time.Second
		p.listing.at, p.listing.submit = 5*time.Second, 10*time.Second
		p.restricted.at, p.restricted.submit = 10*time.Second, 90*time.Second
	}
	return p
}
