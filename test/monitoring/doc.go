// Package monitoring knows what is shipped for Prometheus and Grafana (dist/prometheus, dist/grafana), and whether it fits what kanmon counts.
//
//  1. dashboards.go has the dashboards as tables, of which dist/grafana/*.json are made: go test ./test/monitoring -run TestDashboards -update.
//  2. A test compares the names and labels of every query, of rules and of dashboards, with those that kanmon has.
//  3. promtool, of Debian's package prometheus that `make setup` unpacks, checks the rules, runs their tests (testdata/kanmon.rules.test.yml),
//     judges the names of all metrics, and parses the queries of the dashboards.
package monitoring
