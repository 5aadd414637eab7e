package monitoring

import (
	"encoding/json"
	"fmt"
)

// A dashboard is a page of Grafana.
type dashboard struct {
	file, title string
	variable    string // a label whose values can be chosen; "": none
	of          string // the metric that the values are taken from
	panels      []panel
}

// A panel shows queries.
type panel struct {
	title, kind, unit string
	queries           []query
}

type query struct{ expr, legend string }

// Kinds of panels.
const (
	lines   = "timeseries"
	number  = "stat"
	table   = "table"
	heatmap = "heatmap"
)

func one(title, kind, unit, expr, legend string) panel {
	return panel{title, kind, unit, []query{{expr, legend}}}
}

var dashboards = []dashboard{
	{file: "kanmon-overview.json", title: "kanmon: overview", panels: []panel{
		one("Attempts by outcome", lines, "ops", `sum by (outcome, by) (rate(kanmon_transactions_total[$__rate_interval]))`, "{{outcome}} by {{by}}"),
		one("Delivered", number, "percentunit", `sum(rate(kanmon_transactions_total{outcome="delivered"}[$__range])) / sum(rate(kanmon_transactions_total[$__range]))`, ""),
		{"Sessions", lines, "short", []query{
			{`sum by (state) (kanmon_sessions)`, "{{state}}"}, {`sum(kanmon_sessions_limit)`, "limit"},
		}},
		one("Held for a minute or longer", lines, "short", `sum by (provider) (kanmon_sessions_held{least="1m"}) > 0`, "{{provider}}"),
		one("Refusals by meaning", lines, "ops", `sum by (class) (rate(kanmon_refusals_total[$__rate_interval]))`, "{{class}}"),
		one("Deferred", lines, "percentunit", `provider:kanmon_transactions_deferred:ratio_rate15m > 0`, "{{provider}}"),
		one("90th percentile of replies to messages", lines, "s", `provider_phase:kanmon_mx_phase_seconds:p90_10m{phase="dot"}`, "{{provider}}"),
		one("Sending IPs that are not active", table, "short", `kanmon_standing`, ""),
		one("Usable sending IPs", lines, "short", `min by (pool, provider, family) (kanmon_pool_usable_ips)`, "{{pool}} {{provider}} {{family}}"),
		one("Contained senders", lines, "short", `sum by (scope, level) (kanmon_senders_contained)`, "{{scope}} {{level}}"),
		one("Rescues", lines, "ops", `sum by (action) (rate(kanmon_rescues_total[$__rate_interval]))`, "{{action}}"),
		one("Records lost", lines, "ops", `sum by (instance) (rate(kanmon_journal_dropped_records_total[$__rate_interval]))`, "{{instance}}"),
	}},
	{file: "kanmon-provider.json", title: "kanmon: a provider", variable: "provider", of: "kanmon_recipients_total", panels: []panel{
		one("Attempts by outcome", lines, "ops", `sum by (outcome, by) (rate(kanmon_transactions_total{provider=~"$provider"}[$__rate_interval]))`, "{{outcome}} by {{by}}"),
		one("Deferred, by sending IP", lines, "percentunit", `provider_sending_ip:kanmon_transactions_deferred:ratio_rate15m{provider=~"$provider"}`, "{{sending_ip}}"),
		{"What it takes, by phase", lines, "s", []query{
			{`provider_phase:kanmon_mx_phase_seconds:p50_10m{provider=~"$provider"}`, "{{phase}} p50"},
			{`provider_phase:kanmon_mx_phase_seconds:p90_10m{provider=~"$provider"}`, "{{phase}} p90"},
		}},
		one("Replies to messages", heatmap, "s", `sum by (le) (increase(kanmon_mx_phase_seconds_bucket{provider=~"$provider", phase="dot"}[$__rate_interval]))`, "{{le}}"),
		one("Waits by sending IP, 90th percentile (native histograms)", lines, "s", `provider_sending_ip_step:kanmon_mx_wait_seconds:p90_30m{provider=~"$provider"}`, "{{sending_ip}} {{step}}"),
		one("Refusals by meaning", lines, "ops", `sum by (class, kind) (rate(kanmon_refusals_total{provider=~"$provider"}[$__rate_interval]))`, "{{class}} {{kind}}"),
		one("Refusals about the IP", lines, "ops", `sum by (sending_ip) (rate(kanmon_refusals_total{provider=~"$provider", class=~"ip_blocklisted|ip_reputation|throttled"}[$__rate_interval]))`, "{{sending_ip}}"),
		one("Failed connections", lines, "ops", `sum by (reason) (rate(kanmon_mx_failures_total{provider=~"$provider"}[$__rate_interval]))`, "{{reason}}"),
		one("Tarpits", lines, "ops", `sum by (sending_ip) (rate(kanmon_mx_drip_total{provider=~"$provider"}[$__rate_interval]))`, "{{sending_ip}}"),
		one("TLS", lines, "ops", `sum by (result) (rate(kanmon_tls_handshakes_total{provider=~"$provider"}[$__rate_interval]))`, "{{result}}"),
		one("Delivered with the first attempt", lines, "percentunit", `sum by (provider) (rate(kanmon_first_attempts_total{provider=~"$provider", outcome="delivered"}[$__rate_interval])) / sum by (provider) (rate(kanmon_first_attempts_total{provider=~"$provider"}[$__rate_interval]))`, "{{provider}}"),
		one("Held sessions", lines, "short", `sum by (least) (kanmon_sessions_held{provider=~"$provider"})`, "{{least}}"),
		one("Part of the traffic that a sending IP may take", lines, "percentunit", `min by (sending_ip) (kanmon_standing_share_ratio{provider=~"$provider|all"})`, "{{sending_ip}}"),
		one("Delay from the MSA to the delivery, 90th percentile", lines, "s", `histogram_quantile(0.9, sum by (le) (rate(kanmon_delivery_delay_seconds_bucket{provider=~"$provider"}[$__rate_interval])))`, "p90"),
		one("What it takes of a sending IP", table, "percentunit", `kanmon_sending_ip_limit_used_ratio{provider=~"$provider"}`, ""),
	}},
	{file: "kanmon-tenant.json", title: "kanmon: a tenant", variable: "tenant", of: "kanmon_tenant_transactions_total", panels: []panel{
		one("Attempts by outcome", lines, "ops", `sum by (outcome) (rate(kanmon_tenant_transactions_total{tenant=~"$tenant"}[$__rate_interval]))`, "{{outcome}}"),
		one("Refusals by meaning", lines, "ops", `sum by (class) (rate(kanmon_tenant_refusals_total{tenant=~"$tenant"}[$__rate_interval]))`, "{{class}}"),
		one("Recipients that do not exist, to attempts", lines, "percentunit", `tenant:kanmon_refusals_unknown:ratio_rate1h{tenant=~"$tenant"}`, "{{tenant}}"),
		one("Mail an hour", lines, "short", `3600 * tenant:kanmon_transactions:rate1h{tenant=~"$tenant"}`, "{{tenant}}"),
		one("Contained: 1 slow, 2 divert, 3 stop, 4 blocked", lines, "short", `max by (tenant) (kanmon_tenant_level{tenant=~"$tenant"})`, "{{tenant}}"),
		one("Limits that are half used, or more", lines, "percentunit", `max by (limit, tenant) (kanmon_tenant_limit_used_ratio{tenant=~"$tenant"})`, "{{tenant}} {{limit}}"),
		one("What limits and containment have done, all tenants", lines, "ops", `sum by (action, rule) (rate(kanmon_decisions_total[$__rate_interval]))`, "{{action}} {{rule}}"),
	}},
	{file: "kanmon-gateway.json", title: "kanmon: a gateway", variable: "instance", of: "kanmon_build_info", panels: []panel{
		one("Version", table, "short", `kanmon_build_info{instance=~"$instance"}`, ""),
		one("Firewall rules in force", number, "short", `min(kanmon_rules_applied{instance=~"$instance"})`, ""),
		one("Sessions that ended", lines, "ops", `sum by (end_reason) (rate(kanmon_sessions_total{instance=~"$instance"}[$__rate_interval]))`, "{{end_reason}}"),
		one("Connections refused", lines, "ops", `sum by (reason) (rate(kanmon_connections_refused_total{instance=~"$instance"}[$__rate_interval]))`, "{{reason}}"),
		{"Processor, of a core", lines, "percentunit", []query{{`rate(process_cpu_seconds_total{instance=~"$instance", job="kanmon"}[$__rate_interval])`, "{{instance}}"}}},
		{"Memory", lines, "bytes", []query{
			{`process_resident_memory_bytes{instance=~"$instance", job="kanmon"}`, "{{instance}} resident"},
			{`kanmon_rescue_kept_bytes{instance=~"$instance"}`, "{{instance}} kept for rescues"},
			{`kanmon_journal_queue_bytes{instance=~"$instance"}`, "{{instance}} records"},
		}},
		{"Descriptors", lines, "short", []query{
			{`process_open_fds{instance=~"$instance", job="kanmon"}`, "{{instance}}"}, {`process_max_fds{instance=~"$instance", job="kanmon"}`, "{{instance}} at most"},
		}},
		one("Goroutines", lines, "short", `go_goroutines{instance=~"$instance", job="kanmon"}`, "{{instance}}"),
		one("Records written and lost", lines, "ops", `rate(kanmon_journal_records_total{instance=~"$instance"}[$__rate_interval])`, "{{instance}}"),
		one("Databases not written", lines, "short", `increase(kanmon_store_errors_total{instance=~"$instance"}[$__rate_interval])`, "{{instance}} {{store}}"),
		one("Questions to public lists", lines, "ops", `sum by (list, result) (rate(kanmon_list_queries_total{instance=~"$instance"}[$__rate_interval]))`, "{{list}} {{result}}"),
		one("Probes", lines, "short", `sum by (provider, result) (increase(kanmon_probes_total{instance=~"$instance"}[$__range]))`, "{{provider}} {{result}}"),
		one("History behind the records", lines, "s", `kanmon_history_lag_seconds`, "{{instance}}"),
		one("History on the disk", lines, "bytes", `kanmon_history_bytes`, "{{instance}}"),
		one("Message octets delivered", lines, "Bps", `sum by (provider) (rate(kanmon_message_bytes_total{instance=~"$instance"}[$__rate_interval]))`, "{{provider}}"),
	}},
}

// annotations mark on all dashboards when something changed.
var annotations = []query{
	{`increase(kanmon_config_reloads_total[1m]) > 0`, "reload {{result}}"},
	{`increase(kanmon_standing_changes_total[1m]) > 0`, "{{sending_ip}} at {{provider}}: {{to}}"},
}

type object = map[string]any

// source is the data source that a dashboard is to be given.
var source = object{"type": "prometheus", "uid": "${datasource}"}

// json makes what Grafana imports.
func (d *dashboard) json() ([]byte, error) {
	page := object{
		"title": d.title, "uid": d.file[:len(d.file)-len(".json")], "tags": []string{"kanmon"}, "schemaVersion": 38, "editable": true, "graphTooltip": 1,
		"time": object{"from": "now-6h", "to": "now"}, "refresh": "1m", "timezone": "browser",
		"links": []object{{"type": "dashboards", "tags": []string{"kanmon"}, "title": "kanmon", "asDropdown": true}},
	}
	choices := []object{{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}}
	if d.variable != "" {
		choices = append(choices, object{
			"name": d.variable, "type": "query", "datasource": source, "refresh": 2, "multi": true, "includeAll": true, "sort": 1,
			"query": object{"query": fmt.Sprintf("label_values(%s, %s)", d.of, d.variable), "refId": "values"},
		})
	}
	page["templating"] = object{"list": choices}
	var marks []object
	for _, a := range annotations {
		marks = append(marks, object{"name": a.legend, "datasource": source, "enable": true, "expr": a.expr, "titleFormat": a.legend, "step": "60s", "iconColor": "blue"})
	}
	page["annotations"] = object{"list": marks}
	var panels []object
	for i := range d.panels {
		panels = append(panels, d.panels[i].object(i))
	}
	page["panels"] = panels
	text, err := json.MarshalIndent(page, "", "  ")
	return append(text, '\n'), err
}

// object is a panel as Grafana has it: two in a row.
func (p *panel) object(at int) object {
	const width, height = 12, 8
	var targets []object
	for i, q := range p.queries {
		target := object{"refId": string(rune('A' + i)), "datasource": source, "expr": q.expr, "legendFormat": q.legend}
		switch p.kind {
		case table:
			target["format"], target["instant"] = "table", true
		case heatmap:
			target["format"] = "heatmap"
		case number:
			target["instant"] = true
		}
		targets = append(targets, target)
	}
	return object{
		"id": at + 1, "title": p.title, "type": p.kind, "datasource": source, "targets": targets,
		"gridPos":     object{"x": width * (at % 2), "y": height * (at / 2), "w": width, "h": height},
		"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []object{}},
	}
}
