package notify

import "kanmon/internal/config"

var english = map[config.NotifyEvent]phrase{
	"ip.suspended": {
		`{{.IP}} is {{if .Until}}suspended{{else}}stopped{{end}} at {{.Provider}}`,
		`kanmon sends nothing from this IP there{{if .Until}} until {{.Until}}, and then tries it with one mail{{else}} until a person resumes it{{end}}. Other sending IPs of the pool take over its mail.`,
		`Find out whose mail has caused it (kanmon refusals --ip {{.IP}}), then follow docs/howto/ip-refused.md.`,
	},
	"ip.recovered": {
		`{{.IP}} is used again at {{.Provider}}`,
		`The provider has taken mail from it{{if .Was}} (it was {{.Was}}){{end}}. kanmon raises its part step by step.`, ``,
	},
	"ip.listed": {
		`{{.IP}} is on {{.List}}`,
		`kanmon has asked the list itself, and {{if .Until}}sends nothing from this IP until {{.Until}}{{else}}goes by what standing says about it{{end}}.`,
		`First stop the cause: find the tenant (kanmon refusals --ip {{.IP}}). Then ask the list for removal with its own form. kanmon notices a removal by itself.`,
	},
	"ip.delisted": {`{{.IP}} is not on {{.List}} any more`, ``, ``},
	"ip.probe_failing": {
		`{{.Provider}} has refused {{.N_times_in_24h}} probes from {{.IP}} within a day`,
		`kanmon waits longer after each of them, up to a day.`,
		`The provider does not forget by itself. Fill in its form for removal, then: kanmon ip resume {{.IP}} --provider NAME`,
	},
	"ip.probe_passed": {`{{.Provider}} has taken a probe from {{.IP}}`, `kanmon uses the IP there again, step by step.`, ``},
	"ip.names_wrong": {
		`the names of {{.IP}} do not agree: {{.State}}`, `Nothing: receivers look at the PTR, and whether it leads back. Many refuse mail from an IP without.`,
		`PTR now: {{.Names}}. It must be the name that kanmon says in EHLO, and that name must lead to the IP: docs/howto/sending-ips.md.`,
	},
	"ip.names_right":    {`the names of {{.IP}} agree again`, ``, ``},
	"list.not_believed": {`{{.List}} cannot be believed`, `kanmon asks it again later, and goes by nothing that it says.`, `A public resolver may be in the way: most lists refuse those. See resolver in [watch].`},
	"list.believed":     {`{{.List}} can be believed again`, ``, ``},
	"pool.exhausted": {
		`no sending IP of pool {{.Pool}} can be used at {{.Provider}}`,
		`kanmon defers the pool's mail there with 451. It waits in the MSAs; nothing is lost.`,
		`kanmon ip list says why each IP cannot be used. Resume one of them, or give the pool another one.`,
	},
	"pool.usable": {`pool {{.Pool}} has a usable sending IP at {{.Provider}} again`, `Its mail leaves as the MSAs try again.`, ``},
	"provider.slow": {
		`{{.Provider}} is slow to answer {{.IP}}: {{.Phase}}`,
		`About its times: {{.Acted}}. (told: nothing else; split: half of its new sessions leave from other IPs; slowed: half; moved: 1 in 20 stays.)`,
		`Look whether other IPs get through (kanmon provider show NAME), then follow docs/howto/slow-provider.md.`,
	},
	"provider.deferring": {
		`{{.Provider}} defers {{.N_deferred_ratio}} of the mail`,
		`kanmon passes the deferrals on. The mail waits in the MSAs.`,
		`The replies say whether it is about an IP, about senders, or the provider's own trouble. Follow docs/howto/slow-provider.md.`,
	},
	"provider.normal": {`{{.Provider}} is back to normal{{if .IP}} for {{.IP}}{{end}}`, ``, ``},
	"account.contained": {
		`account {{.Account}} of {{.Tenant}} is contained: {{.State}}`,
		`kanmon has decided by what receivers answered. slow: few mails an hour; divert: also from the high-risk pool; stop: its mail is deferred.`,
		`Look whether the account is abused (kanmon account explain). If so: change its password, and kanmon account block. If not: kanmon account exempt.`,
	},
	"account.would_be_contained": {
		`account {{.Account}} of {{.Tenant}} would be contained: {{.State}}`,
		`Nothing: containment is only observed.`,
		`Look whether kanmon is right (kanmon account explain) before you set enforce = true.`,
	},
	"account.released": {`account {{.Account}} of {{.Tenant}} is not contained any more`, ``, ``},
	"tenant.contained": {
		`tenant {{.Tenant}} is contained: {{.State}}`,
		`kanmon has decided by what receivers answered. The mail of the whole tenant is concerned.`,
		`An attack on many accounts, or an MSA that is open to anybody? kanmon tenant explain, then docs/howto/bad-sender.md.`,
	},
	"tenant.would_be_contained": {
		`tenant {{.Tenant}} would be contained: {{.State}}`, `Nothing: containment is only observed.`,
		`Look whether kanmon is right (kanmon tenant explain) before you set enforce = true.`,
	},
	"tenant.released": {`tenant {{.Tenant}} is not contained any more`, ``, ``},
	"limit.blocked": {
		`a limit has blocked {{if .Account}}account {{.Account}} of {{end}}tenant {{.Tenant}}`,
		`kanmon defers its mail until a person lifts the block.`,
		`If the mail is in order: kanmon account unblock, and a higher limit.`,
	},
	"limit.released": {`the block of {{if .Account}}account {{.Account}} of {{end}}tenant {{.Tenant}} is lifted`, ``, ``},
	"limit.near": {
		`tenant {{.Tenant}} has used {{.N_used_ratio}} of its limit {{.Rule}}{{if .Provider}} at {{.Provider}}{{end}}`,
		`Nothing yet. Beyond the limit kanmon does what its action says.`,
		`kanmon tenant show says how far each limit is. If the mail is in order: kanmon tenant limit sets another amount.`,
	},
	"limit.far": {`tenant {{.Tenant}} is far from its limit {{.Rule}} again`, ``, ``},
	"refusal.new_kind": {
		`{{.N_tenants}} tenants get a refusal that nobody has seen for a month{{if .Class}}: {{.Class}}{{end}}`,
		`kanmon takes it to mean: {{if .Meaning}}{{.Meaning}}{{else}}nothing that it knows{{end}}.`,
		`Read it. If kanmon takes it for something else than it is, write a rule: docs/ref/classification.md.`,
	},
	"spoofing.first": {
		`an account of {{.Tenant}} has sent with a sender address that is another tenant's`,
		`Recorded; whether it is refused, spoofing in [senders] says.`,
		`Look whether the tenant forwards mail, or somebody pretends to be somebody else.`,
	},
	"mail.ambiguous": {
		`of a mail to {{.Provider}} nobody knows whether it was delivered`,
		`The MX was silent, or gone, behind the end of the message. The MSA sends it again, and it may arrive twice.`,
		`One is no reason to do anything. If there are many, see docs/howto/slow-provider.md.`,
	},
	"order.done": {
		`{{.By}}: {{.Action}}{{if .IP}} {{.IP}} at {{.Provider}}{{end}}{{if .Account}} {{.Account}}{{end}}{{if .Tenant}} {{.Tenant}}{{end}}`,
		`{{.Was}} → {{.State}}{{if .Unkept}}. It could not be saved: a restart may lose it{{end}}`, ``,
	},
	"warmup.stage": {`warm-up of {{.IP}}: {{if .Condition}}{{.Condition}}{{else}}{{.State}}{{end}}`, ``, ``},
	"gateway.started": {
		`{{.Gateway}} has started{{if .Unclean}}, and its last run was killed{{end}}`,
		`{{if .Unclean}}Records of the last moments before may be missing, also of mail that was delivered.{{end}}`, ``,
	},
	"gateway.reloaded":       {`{{.Gateway}} has a new configuration`, ``, ``},
	"gateway.reload_refused": {`{{.Gateway}} has refused a new configuration`, `It goes on with the old one.`, `kanmon check says what is wrong.`},
	"gateway.draining":       {`{{.Gateway}} is stopping`, `It takes no new sessions. Mail waits in the MSAs until it is back.`, ``},
	"gateway.rules_lost": {
		`the firewall rules of {{.Gateway}} are not as they should be`,
		`If rules are missing, mail leaves directly: unrecorded, and from other addresses.`, `kanmon rules status says why.`,
	},
	"gateway.rules_in_force": {`the firewall rules of {{.Gateway}} are in force`, ``, ``},
	"gateway.silent": {
		`nothing is heard of {{.Gateway}}`, `No line has come into its records for {{.N_silent_seconds}}, not even a heartbeat.`,
		`systemctl status kanmon on the gateway. If it runs, its records do not reach the history: see kanmon history status.`,
	},
	"gateway.heard": {`{{.Gateway}} is heard again`, ``, ``},
	"gateway.records_dropped": {
		`records of {{.Gateway}} have gaps: {{.N_records}} are missing`, `Mail is unharmed. A disk or a pipe was too slow.`, `kanmon status says whose records they were.`,
	},
	"gateway.disk_low": {
		`the disk of {{.Condition}} has only {{.N_free_ratio}} free`,
		`Mail goes on. Where the disk is full, records are dropped, history stops, and what is decided about IPs and senders is not saved.`,
		`Make room: df -h. A smaller size of [history], or fewer days of records (logrotate), keep it free.`,
	},
	"gateway.disk_room": {`the disk of {{.Condition}} has room again`, ``, ``},
	"certificate.ending": {
		`the certificate in {{.Condition}} ends at {{.Until}}`,
		`Nothing. Behind its end, MSAs that verify it deliver nothing, and browsers warn.`,
		`Renew it. The files are read anew: kanmon reload for MSAs; the page does it by itself.`,
	},
	"resolver.failing": {
		`the resolver of {{.Gateway}} fails: {{.Condition}}`,
		`Answers that are known are used for 24 hours. Mail to domains of which nothing is known waits where policies are enforced and may ask for DANE.`,
		`See to the resolver that [tls_policy] names. kanmon status and kanmon tls DOMAIN say how it is.`,
	},
	"resolver.well":       {`the resolver of {{.Gateway}} answers and validates again`, ``, ``},
	"certificate.renewed": {`the certificate in {{.Condition}} is good until {{.Until}}`, ``, ``},
	digestEvent:           {`what happened until {{.Day}}`, ``, ``},
	testEvent:             {`this is a test`, `Somebody has run kanmon notify test.`, `Nothing. If you can read this, the channel works.`},
}

var englishNone = map[string]string{"Provider": "all providers", "Gateway": "the gateway", "By": "somebody", "Pool": "(none)", "State": "-", "Acted": "told", "List": "a public list", "Names": "no name"}

var englishLabels = map[string]string{
	"critical": "[critical] ", "at": "at: ", "since": "since: ", "until": "until: ", "gateway": "gateway: ", "condition": "found: ", "by": "by: ",
	"threshold": ", told from ", "msa": "mail server: ", "sender": "sender: ", "message_id": "message id: ", "session": "session: ",
	"more": "more of this that you were not told of: ", "replies": "The receiver says:", "did": "What kanmon did:", "todo": "What to do:",
	"N_deferred_ratio": "deferred: ", "N_deferred_ratio_a_week_ago": "deferred a week ago: ", "N_mails": "mails: ", "N_tenants": "tenants: ",
	"N_replies": "replies: ", "N_records": "records: ", "N_times_in_24h": "times within 24 h: ", "N_silent_seconds": "silent for: ",
	"d_quiet": "%s: nothing has happened. %s", "d_head": "%s: %s", "d_none": "No mail was seen.",
	"d_mails": "%d attempts: %s delivered, %s deferred, %s refused.", "d_rescued": " %d were rescued by another sending IP.", "d_more": "and %d more", "d_since": ", since %s",
	"d_now": "Not normal now:", "d_senders": "Senders:", "d_ips": "Sending IPs:", "d_providers": "Providers:", "d_orders": "Orders:", "d_gateways": "Gateways:",
	"d_refusals": "Refusals by meaning (an average day of the week before; ! = twice or half as many):", "d_tenants": "Tenants that have sent more than twice as much as usual:",
	"d_waiting": "Mails that have waited for more than 4 hours, by provider:", "d_gaps": "%d records are missing.", "d_shortened": "History was shortened: it has reached its size.",
	"d_trend": "%s: %d (%.0f)", "d_acknowledged": " [%s knows, until %s: %s]",
	"N_used_ratio": "used: ", "N_free_ratio": "free: ", "N_days_left": "days left: ",
	"N_here_ms": "here: ", "N_others_ms": "other sending IPs: ", "N_before_ms": "before: ",
}
