package daemon

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
)

// A reloadable is a key of the configuration that a reload changes: a value before, one after, and what shows that it is in force.
type reloadable struct {
	key           string // "[table] key"
	before, after string // tables
	probe         func(p *asker) string
	want          [2]string // what the probe gives before and after
}

// Keys that are not probed here, with the test that shows them in force. What is built anew for each configuration, and asked by each new
// session, is in force with the first session behind a reload: its test need not reload.
var shownElsewhere = map[string]string{
	"[metrics] *":                  "internal/daemon TestReloadMovesMetrics",
	"[tls_policy] *":               "internal/daemon TestWhatMXsMustProveIsAsConfigured",
	"[tls_report] *":               "internal/daemon TestWhatMXsMustProveIsAsConfigured",
	"[content] *":                  "internal/daemon TestContentIsJudgedAsConfigured",
	"[[scanner]] *":                "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] scan":              "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] scanners":          "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] unavailable":       "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] too_large":         "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] busy":              "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] on_virus":          "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] on_reject":         "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] on_soft_reject":    "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] on_spam":           "internal/daemon TestContentIsJudgedAsConfigured",
	"[[tenant]] prepend":           "internal/daemon TestContentIsJudgedAsConfigured",
	"[watch] *":                    "internal/daemon TestWhatListsSayIsToldAndSuspendsWhereConfigured",
	"[web] user":                   "internal/daemon TestTheViewSpeaksForPersons",
	"[web] may":                    "internal/daemon TestTheViewSpeaksForPersons",
	"[web] *":                      "cmd/kanmon TestPageIsServed", // the process of the page reads them when it starts, as it does those below
	"[history] *":                  "internal/config TestHistoryIsKeptWhereTheFileHasItsTable",
	"[notify] *":                   "internal/view/notify TestDigestOnceADay",
	"[[notify_webhook]] *":         "internal/view/notify TestEveryEventComesOfLines",
	"[[notify_mail]] *":            "internal/view/notify TestSmarthostTakesAMessage",
	"Top level providers_file":     "internal/daemon TestProvidersReachTheSet",
	"Top level on_unreachable":     "internal/session TestDialoguesWithUnreachableMXsTold",
	"[[tenant]] on_unreachable":    "internal/session TestDialoguesWithUnreachableMXsTold",
	"[intercept] listen":           "internal/daemon TestReloadListeners",
	"[intercept] sources":          "internal/daemon TestReloadRules",
	"[intercept] interfaces":       "internal/daemon TestRules",
	"[intercept] local":            "internal/daemon TestRules",
	"[intercept] rules_on_stop":    "internal/daemon TestRulesAreAppliedGuardedAndKept", // read at the stop
	"[[sending_ip]] address":       "internal/daemon TestPoolsReachTheRouter",
	"[[sending_ip]] ehlo":          "internal/daemon TestReloadLeavesSessionsAlone",
	"[[sending_ip]] required":      "internal/daemon TestStartWithoutASendingIP",
	"[[sending_ip]] floating":      "internal/outlet TestAbsentIPsComeAndGo",
	"[[sending_ip]] ports":         "internal/daemon TestPortsOfASendingIP",
	"[[sending_ip]] path":          "internal/outlet TestAPathWithANameIsDeadForAllItsIPs",
	"[[sending_ip]] warm_up":       "internal/daemon TestAReloadChangesAWarmUpAndTakesItAway",
	"[pool.NAME] ips":              "internal/daemon TestPoolsReachTheRouter",
	"[pool.NAME] weights":          "internal/daemon TestPoolsReachTheRouter",
	"[pool.NAME] sticky":           "internal/daemon TestPoolsReachTheRouter",
	"[pool.NAME] high_risk":        "internal/daemon TestPoolsReachTheRouter",
	"[[tenant]] listen_port":       "internal/daemon TestListenerOfATenant",
	"[[tenant]] interfaces":        "internal/daemon TestGoodConfigurationsGiveGoodRules",
	"[[route]] *":                  "internal/daemon TestRoutesReachTheRouter",
	"[[destination]] *":            "internal/daemon TestMostSpecificDestinationWins",
	"[tls] *":                      "internal/daemon TestReloadAllOrNothing",
	"[timeouts] *":                 "internal/daemon TestTimeoutsReachTheirPhases",
	"[journal] *":                  "internal/daemon TestReloadLeavesSessionsAlone",
	"[log] level":                  "cmd/kanmon TestReloadSetsTheLogLevel", // the command's, not the daemon's
	"[classification] rules":       "internal/daemon TestReloadAllOrNothing",
	"[standing] suspend":           "internal/daemon TestRouteDefaults",
	"[standing] *":                 "internal/outlet/standing TestThresholdsAreConfigurable",
	"[rescue] mode":                "internal/daemon TestRouteDefaults",
	"[rescue] soften":              "internal/daemon TestRouteDefaults",
	"[rescue] per_hour":            "internal/outlet TestRescuesPerHourAreConfigured",
	"[shaping] *":                  "internal/daemon TestAReloadChangesWhatAProviderTakes",
	"[[shaping_limit]] *":          "internal/daemon TestAReloadChangesWhatAProviderTakes",
	"[rescue] netblock_v4":         "internal/outlet/standing TestNetblockIsConfigurable",
	"[rescue] netblock_v6":         "internal/outlet/standing TestNetblockIsConfigurable",
	"[[sender_limit]] provider":    "internal/policy TestProvidersLimitCountsFromTheFirstMail",
	"[limits] sessions_per_source": "internal/daemon TestLimitsReachTheEngine",
	"[limits] sessions_reserve":    "internal/daemon TestLimitsReachTheEngine",
}

const acmeTenant = "[[tenant]]\nname = 'acme'\nsources = ['10.1.0.0/16']\n"

// hourly is a limit of two messages an hour for each account; the last of the same key counts.
func hourly(changes ...string) string {
	keys := map[string]string{"name": "'hour'", "per": "'account'", "count": "'messages'", "limit": "2", "burst": "2", "every": "'1h'"}
	for _, change := range changes {
		key, value, _ := strings.Cut(change, " = ")
		keys[key] = value
	}
	text := acmeTenant + "[[sender_limit]]\n"
	for key, value := range keys {
		text += key + " = " + value + "\n"
	}
	return text
}

var bothPools = twoPools("other")

var reloadables = []reloadable{
	{
		"Top level hostname", "hostname = 'a.example'\n", "hostname = 'b.example'\n", func(p *asker) string { return p.daemon.current.engine.Hostname },
		[2]string{"a.example", "b.example"},
	},
	{
		"[timing] act", "[timing]\nact = 'move'\n", "[timing]\nact = 'off'\n", func(p *asker) string {
			if m := (&operator{p.daemon}).measuring(); m != nil {
				return m.Act
			}
			return "nothing is measured"
		},
		[2]string{"move", "nothing is measured"},
	},
	{
		"[suspicion] record", acmeTenant, acmeTenant + "[suspicion]\nrecord = true\n",
		func(p *asker) string {
			pass := p.daemon.policy.Gate().Enter(reloadOrigin)
			defer pass.Close()
			return fmt.Sprint(pass.Ask(session.Question{Step: event.StepMail, Sender: "new@acme.example"}).Suspicion != nil)
		},
		[2]string{"false", "true"},
	},
	{"[containment] enforce", acmeTenant, acmeTenant + "[containment]\nenforce = true\n", inForce, [2]string{"normal", "stop"}},
	{
		"[containment] most", acmeTenant + "[containment]\nenforce = true\nmost = 'slow'\n", acmeTenant + "[containment]\nenforce = true\nmost = 'divert'\n", inForce,
		[2]string{"slow", "divert"},
	},
	{
		"[containment] slow_rate", acmeTenant + "[containment]\nenforce = true\nmost = 'slow'\n", acmeTenant + "[containment]\nenforce = true\nmost = 'slow'\nslow_rate = 600\n",
		func(p *asker) string {
			all := p.daemon.policy.Usages(contain.Subject{Tenant: "acme", Account: abused})
			return fmt.Sprint(all[len(all)-1].Rule.Amount)
		},
		[2]string{"60", "600"},
	},
	{
		"[containment] pool", bothPools + acmeTenant + "[containment]\nenforce = true\nmost = 'divert'\nslow_rate = 100000\npool = 'default'\n",
		bothPools + acmeTenant + "[containment]\nenforce = true\nmost = 'divert'\nslow_rate = 100000\npool = 'other'\n",
		func(p *asker) string {
			pass := p.daemon.policy.Gate().Enter(reloadOrigin)
			defer pass.Close()
			return pass.Ask(session.Question{Step: event.StepMail, Sender: abused}).Pool
		},
		[2]string{"default", "other"},
	},
	{
		"[containment] account_volume", acmeTenant, acmeTenant + "[containment]\naccount_volume = 7\n",
		func(p *asker) string { return fmt.Sprint(p.explain(abused).Allowance) },
		[2]string{"2000", "7"},
	},
	{
		"[containment] tenant_volume", acmeTenant, acmeTenant + "[containment]\ntenant_volume = 70000\n",
		func(p *asker) string { return fmt.Sprint(p.explain("").Allowance) },
		[2]string{"5000", "70000"},
	},
	{
		"[senders] unknown_tenant", strings.Replace(acmeTenant, "10.1", "10.9", 1), strings.Replace(acmeTenant, "10.1", "10.9", 1) + "[senders]\nunknown_tenant = 'acme'\n",
		func(p *asker) string { return p.passing(p.someone) },
		[2]string{"0", "10"},
	},
	{
		"[senders] spoofing", acmeTenant + "[[tenant]]\nname = 'blue'\nsources = ['10.2.0.0/16']\nsender_domains = 'blue.example'\n",
		acmeTenant + "[[tenant]]\nname = 'blue'\nsources = ['10.2.0.0/16']\nsender_domains = 'blue.example'\n[senders]\nspoofing = 'refuse'\n",
		func(p *asker) string { return p.passing(func() string { return "a@blue.example" }) },
		[2]string{"10", "0"},
	},
	{
		"[senders] fold_subaddress", acmeTenant, acmeTenant + "[senders]\nfold_subaddress = false\n",
		func(p *asker) string {
			return p.daemon.policy.Normal(contain.Subject{Tenant: "acme", Account: "b+x@acme.example"}).Account
		},
		[2]string{"b@acme.example", "b+x@acme.example"},
	},
	{
		"[senders] internal", hourly("exempt = ['internal']") + "[senders]\ninternal = ['10.99.0.0/16']\n", hourly("exempt = ['internal']") + "[senders]\ninternal = ['192.0.2.0/24']\n",
		func(p *asker) string { return p.passing(p.same()) },
		[2]string{"2", "10"},
	},
	{
		"[[sender_limit]] name", hourly(), hourly("name = 'day'"),
		func(p *asker) string { return regexp.MustCompile(`limit "\w+"`).FindString(p.refusal()) },
		[2]string{`limit "hour"`, `limit "day"`},
	},
	{"[[sender_limit]] per", hourly(), hourly("per = 'tenant'"), func(p *asker) string { return p.passing(p.someone) }, [2]string{"10", "2"}},
	{
		"[[sender_limit]] count", hourly(), hourly("count = 'recipients'"), func(p *asker) string {
			_, passed := p.mail(p.someone(), 5)
			return fmt.Sprint(passed)
		}, [2]string{"5", "2"},
	},
	{"[[sender_limit]] limit", hourly(), hourly("limit = 5", "burst = 5"), func(p *asker) string { return p.passing(p.same()) }, [2]string{"2", "5"}},
	{"[[sender_limit]] burst", hourly("limit = 9"), hourly("limit = 9", "burst = 4"), func(p *asker) string { return p.passing(p.same()) }, [2]string{"2", "4"}},
	{
		"[[sender_limit]] every", hourly(), hourly("every = '3h'"),
		func(p *asker) string { return regexp.MustCompile(`per [^ ]*( hours)?`).FindString(p.refusal()) },
		[2]string{"per hour", "per 3 hours"},
	},
	{
		"[[sender_limit]] tenant", hourly(), hourly("tenant = 'blue'") + "[[tenant]]\nname = 'blue'\nsources = ['10.2.0.0/16']\n",
		func(p *asker) string { return p.passing(p.same()) },
		[2]string{"2", "10"},
	},
	{
		"[[sender_limit]] account", hourly("account = '@blue.example'"), hourly("account = '@acme.example'"),
		func(p *asker) string { return p.passing(p.same()) },
		[2]string{"10", "2"},
	},
	{
		"[[sender_limit]] action", hourly(), hourly("action = 'reject'"),
		func(p *asker) string { return p.refusal()[:1] },
		[2]string{fmt.Sprint(session.RefuseNow), fmt.Sprint(session.RefuseForGood)},
	},
	{
		"[[sender_limit]] pool", bothPools + hourly("action = 'divert'", "pool = 'default'"), bothPools + hourly("action = 'divert'", "pool = 'other'"),
		func(p *asker) string { return strings.TrimSpace(p.refusal()) },
		[2]string{"0 default", "0 other"},
	},
	{"[[sender_limit]] enforce", hourly(), hourly("enforce = false"), func(p *asker) string { return p.passing(p.same()) }, [2]string{"2", "10"}},
	{
		"[[sender_limit]] fair", hourly("per = 'sending_ip_provider'", "limit = 100", "burst = 8", "fair = true"),
		hourly("per = 'sending_ip_provider'", "limit = 100", "burst = 8", "fair = false", "name = 'other'"),
		func(p *asker) string { return p.passing(p.same()) },
		[2]string{"6", "8"}, // the reserve for who comes next
	},
	{
		"[[sender_limit]] exempt", hourly(), hourly("exempt = ['null_sender']"),
		func(p *asker) string { return p.passing(func() string { return "" }) },
		[2]string{"2", "10"},
	},
	{
		"[[tenant]] name", acmeTenant, strings.Replace(acmeTenant, "acme", "blue", 1),
		func(p *asker) string { return strings.Join(p.daemon.policy.Tenants(), " ") },
		[2]string{"acme", "blue"},
	},
	{
		"[[tenant]] sources", acmeTenant, strings.Replace(acmeTenant, "10.1", "10.9", 1),
		func(p *asker) string { return p.passing(p.someone) },
		[2]string{"10", "0"},
	},
	{
		"[[tenant]] sender_domains", acmeTenant, acmeTenant + "sender_domains = 'other.example'\n",
		func(p *asker) string { return p.passing(p.someone) },
		[2]string{"10", "0"},
	},
	{
		"[[tenant]] pool", bothPools + acmeTenant, bothPools + acmeTenant + "pool = 'other'\n",
		func(p *asker) string {
			choice, err := p.daemon.current.out.Router().Choose(route.Query{Source: reloadOrigin.Source.Addr(), Destination: reloadOrigin.Destination, Suspicion: -1})
			return fmt.Sprint(choice.Pool, err)
		},
		[2]string{"default<nil>", "other<nil>"},
	},
	{
		"[[tenant]] account_header", acmeTenant + "account_header = 'X-A'\n", acmeTenant + "account_header = 'X-B'\n",
		func(p *asker) string { return named(p).Header },
		[2]string{"X-A", "X-B"},
	},
	{
		"[[tenant]] strip_account_header", acmeTenant + "account_header = 'X-A'\n", acmeTenant + "account_header = 'X-A'\nstrip_account_header = true\n",
		func(p *asker) string { return fmt.Sprint(named(p).Strip) },
		[2]string{"false", "true"},
	},
	{
		"[[tenant]] account_header_required", acmeTenant + "account_header = 'X-A'\n", acmeTenant + "account_header = 'X-A'\naccount_header_required = true\n",
		func(p *asker) string { return fmt.Sprint(named(p).Refuse) },
		[2]string{"0", "1"},
	},
	{
		"[[tenant]] account_header_conflict", acmeTenant + "account_header = 'X-A'\n", acmeTenant + "account_header = 'X-A'\naccount_header_conflict = 'last'\n",
		func(p *asker) string { return fmt.Sprint(named(p, "a@acme.example", "b@acme.example").Refuse) },
		[2]string{"1", "0"},
	},
	{
		"[[tenant]] account_domains", acmeTenant + "account_header = 'X-A'\n", acmeTenant + "account_header = 'X-A'\naccount_domains = 'acme.example'\n",
		func(p *asker) string { return fmt.Sprint(named(p, "a@acme.example", "b@other.example").Refuse) },
		[2]string{"1", "0"},
	},
	{
		"[[tenant]] account_pattern", acmeTenant, acmeTenant + `account_pattern = '(news)-[0-9]+(@acme\.example)'` + "\n",
		func(p *asker) string {
			return p.daemon.policy.Normal(contain.Subject{Tenant: "acme", Account: "news-7@acme.example"}).Account
		},
		[2]string{"news-7@acme.example", "news@acme.example"},
	},
	{"[[tenant]] kind", acmeTenant, acmeTenant + "kind = 'list'\n", kindOf(abused), [2]string{"none", "list"}},
	{"[[tenant]] lists", acmeTenant, acmeTenant + "lists = '@acme.example'\n", kindOf(abused), [2]string{"none", "list"}},
	{"[[tenant]] forwarders", acmeTenant, acmeTenant + "forwarders = 'bad@acme.example'\n", kindOf(abused), [2]string{"none", "forwarder"}},
	{"[limits] sessions", "", "[limits]\nsessions = 77\nsessions_per_source = 50\n", limitsInForce, [2]string{"10000 1000 20 100 0 0", "77 1000 20 100 0 0"}},
	{"[limits] recipients", "", "[limits]\nrecipients = 500\n", limitsInForce, [2]string{"10000 1000 20 100 0 0", "10000 500 20 100 0 0"}},
	{"[limits] bad_commands", "", "[limits]\nbad_commands = 5\n", limitsInForce, [2]string{"10000 1000 20 100 0 0", "10000 1000 5 100 0 0"}},
	{"[limits] idle_commands", "", "[limits]\nidle_commands = 50\n", limitsInForce, [2]string{"10000 1000 20 100 0 0", "10000 1000 20 50 0 0"}},
	{"[limits] transactions", "", "[limits]\ntransactions = 3\n", limitsInForce, [2]string{"10000 1000 20 100 0 0", "10000 1000 20 100 3 0"}},
	{"[limits] body_bytes", "", "[limits]\nbody_bytes = '1MiB'\n", limitsInForce, [2]string{"10000 1000 20 100 0 0", "10000 1000 20 100 0 1048576"}},
	{
		"[limits] memory", "[limits]\nmemory = '3GiB'\n", "[limits]\nmemory = '4GiB'\n",
		func(*asker) string { return fmt.Sprint(debug.SetMemoryLimit(-1) >> 30) },
		[2]string{"3", "4"},
	},
	{
		"[drain] timeout", "", "[drain]\ntimeout = '5m'\n", func(p *asker) string { return fmt.Sprint(p.daemon.cfg.Drain.Timeout) }, [2]string{"15m0s", "5m0s"},
	},
	{"[drain] notice", "", "[drain]\nnotice = '1s'\n", func(p *asker) string { return fmt.Sprint(p.daemon.cfg.Drain.Notice) }, [2]string{"3s", "1s"}},
	{"[drain] soft", "", "[drain]\nsoft = '1m'\n", func(p *asker) string { return fmt.Sprint(p.daemon.cfg.Drain.Soft) }, [2]string{"5m30s", "1m0s"}},
	{"[drain] idle", "", "[drain]\nidle = '5s'\n", func(p *asker) string { return fmt.Sprint(p.daemon.cfg.Drain.Idle) }, [2]string{"1m0s", "5s"}},
	{"[rescue] attempts", bothPools, bothPools + "[rescue]\nattempts = 1\n", rescueInForce, [2]string{"2 1m0s 262144 67108864", "1 1m0s 262144 67108864"}},
	{"[rescue] time", bothPools, bothPools + "[rescue]\ntime = '9s'\n", rescueInForce, [2]string{"2 1m0s 262144 67108864", "2 9s 262144 67108864"}},
	{"[rescue] body_bytes", bothPools, bothPools + "[rescue]\nbody_bytes = 7\n", rescueInForce, [2]string{"2 1m0s 262144 67108864", "2 1m0s 7 67108864"}},
	{"[rescue] bodies_bytes", bothPools, bothPools + "[rescue]\nbodies_bytes = 262144\n", rescueInForce, [2]string{"2 1m0s 262144 67108864", "2 1m0s 262144 262144"}},
}
