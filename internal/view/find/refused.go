package find

import (
	"net/netip"
	"time"

	"kanmon/internal/view/history"
)

// A Refused is refusals of one meaning in like words, said to people.
type Refused struct {
	Class      string       `json:"class"`
	Rule       string       `json:"rule,omitempty"`
	Meaning    string       `json:"meaning"`
	Whose      Fault        `json:"whose"`
	WhoseText  string       `json:"whose_text"`
	Advice     string       `json:"advice"`
	Lists      []ToldList   `json:"lists,omitempty"`
	Shape      string       `json:"shape"`
	Text       string       `json:"text"` // one of them
	Count      int64        `json:"count"`
	First      time.Time    `json:"first"`
	Last       time.Time    `json:"last"`
	New        bool         `json:"new"`
	Tenants    int          `json:"tenants"`
	Tenant     string       `json:"only_tenant,omitempty"`
	SendingIPs []netip.Addr `json:"sending_ips"`
	Providers  []string     `json:"providers"`
	To         []string     `json:"-"` // whom the text may name; not shown, so that it is known whom to hide where people are
	seen       history.Key
}

// Seen is a line of the records that has one of them.
func (r *Refused) Seen() history.Key { return r.seen }

// Refused says what refusals mean. What was seen first since newSince is new.
func (t Teller) Refused(f *Finder, s *history.Shape, newSince time.Time) Refused {
	of := history.Attempt{}
	if len(s.Providers) > 0 {
		of.Provider = s.Providers[0]
	}
	if len(s.SendingIPs) > 0 {
		of.SendingIP = s.SendingIPs[0]
	}
	sense := f.Sense(&history.Reply{Text: s.Text, Class: s.Class, Rule: s.Rule}, &of)
	told := Refused{
		Class: s.Class, Rule: s.Rule, Meaning: sense.Meaning(t.Lang), Whose: sense.Whose, WhoseText: sense.Whose.In(t.Lang), Advice: sense.Advice(t.Lang), Shape: s.Shape,
		Text: s.Text, Count: s.Count, First: s.First, Last: s.Last, New: !s.First.Before(newSince), Tenants: s.Tenants, Tenant: s.One, SendingIPs: s.SendingIPs,
		Providers: s.Providers, To: s.To, seen: s.Seen,
	}
	for _, l := range sense.Lists {
		told.Lists = append(told.Lists, ToldList{l.Name, l.Delist})
	}
	return told
}
