package tally

import (
	"strings"
	"testing"

	"kanmon/internal/event"
)

func TestADeedIsToldInASentenceWithWhoWhomAndWhy(t *testing.T) {
	for line, want := range map[string]string{
		`{"type":"order","by":"alice (web)","action":"block","tenant":"acme","account":"news@acme.example","before":"none","after":"blocked","cause":"hacked"}`:            "alice (web) | block account news@acme.example of acme (none → blocked): hacked",
		`{"type":"order","by":"root","action":"suspend","sending_ip":"203.0.113.11","unkept":true}`:                                                                        "root | suspend 203.0.113.11 everywhere, which could not be saved: a restart may lose it",
		`{"type":"changed","sending_ip":"203.0.113.11","provider":"docomo","state":"suspended","until":"2026-11-30T16:10:00Z","rule":"docomo, SPAM","cause":"2 refusals"}`: "kanmon | 203.0.113.11 at docomo is suspended, until 2026-11-30 16:10 UTC (docomo, SPAM): 2 refusals",
		`{"type":"changed","sending_ip":"203.0.113.11","provider":"docomo","state":"slowed","share":0.25}`:                                                                 "kanmon | 203.0.113.11 at docomo is slowed, with 25 % of its mail",
		`{"type":"changed","tenant":"acme","state":"slow","was":"none","would":true}`:                                                                                      "kanmon | tenant acme would be slow, was none",
		`{"type":"finding","action":"begun","phase":"rcpt","sending_ip":"203.0.113.11","provider":"docomo","here_ms":41000,"others_ms":300,"acted":"moved"}`:               "kanmon | docomo is slow to answer 203.0.113.11: rcpt takes 41 s, other IPs 0.3 s; the IP keeps 1 in 20 of its new sessions there",
		`{"type":"finding","action":"begun","phase":"refused","host":"192.0.2.1","acted":"told"}`:                                                                          "kanmon | more than one provider refuses connections of all sending IPs: refused; only 192.0.2.1; it is only told",
		`{"type":"finding","action":"cleared","phase":"rcpt","provider":"docomo"}`:                                                                                         "kanmon | docomo answers all sending IPs as usual again (rcpt)",
		`{"type":"gateway","gateway":"gw1","action":"start","version":"1.2","sending_ips":1,"unclean":true}`:                                                               "kanmon | gw1 started, kanmon 1.2 with 1 sending IP; the run before was killed",
		`{"type":"gateway","gateway":"gw1","action":"drain","sessions":214}`:                                                                                               "kanmon | gw1 takes no new sessions: 214 are under way",
		`{"type":"gateway","gateway":"gw1","action":"reload_refused","cause":"line 3"}`:                                                                                    "kanmon | gw1 refused a new configuration and goes on with the one before: line 3",
		`{"type":"sighting","sending_ip":"203.0.113.11","list":"zen.example","state":"listed","was":"clear","cause":"127.0.0.4"}`:                                          "kanmon | 203.0.113.11 is listed at zen.example: 127.0.0.4",
		`{"type":"sighting","list":"zen.example","state":"not_believed"}`:                                                                                                  "kanmon | zen.example cannot be believed",
		`{"type":"sighting","sending_ip":"203.0.113.11","state":"no_ptr"}`:                                                                                                 "kanmon | 203.0.113.11 has no PTR",
		`{"type":"dropped","records":1}`: "kanmon | 1 record was lost: the record does not have all of this time",
	} {
		e, err := event.ParseEntry([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if d := NewsOf(e); d.Who+" | "+d.What != want {
			t.Errorf("%s\nis told as  %s | %s\nwant        %s", line, d.Who, d.What, want)
		}
	}
}

func TestEachStepOfAGatewayAndEachDeedOfAFindingHasWords(t *testing.T) {
	for step := event.Started; step <= event.Left; step++ {
		if what := stepped(&event.Entry{Gateway: "gw1", Action: step.String()}); what == "gw1 "+step.String() {
			t.Errorf("the step %s is not told in words", step)
		}
	}
	for sight := event.SightUnknown; sight <= event.SightNotBelievable; sight++ {
		if sights[sight.String()] == "" {
			t.Errorf("the sight %s is not told in words", sight)
		}
	}
	for _, acted := range []string{"told", "split", "slowed", "moved"} {
		if what := found(&event.Entry{Action: "acted", Phase: "dot", Acted: acted}); strings.HasSuffix(what, "; ") {
			t.Errorf("nothing is said of %s", acted)
		}
	}
}
