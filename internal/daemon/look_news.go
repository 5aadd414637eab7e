package daemon

import (
	"cmp"
	"slices"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

// newsSince gives the news that somebody who looks is told, the last first.
func (l *look) newsSince(q *admin.SessionQuery) (all []admin.TopNews) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range slices.Backward(l.news) {
		if l.news[i].Matches(q) {
			all = append(all, l.news[i])
		}
	}
	return all
}

// told keeps the last news. It is called with the look locked.
func (l *look) told(n event.News) {
	news, is := shownNews(n)
	if !is {
		return
	}
	news.At = time.Now()
	if len(l.news) == admin.TopMostNews {
		l.news = slices.Delete(l.news, 0, 1)
	}
	l.news = append(l.news, news)
}

// shownNews gives news as people who look are told; what comes each minute, or with a mail, is none.
func shownNews(n event.News) (news admin.TopNews, is bool) {
	switch n := n.(type) {
	case event.Gateway:
		return admin.TopNews{Type: "gateway", What: n.Did.String(), Why: cmp.Or(n.Why, n.Rules)}, true
	case event.Order:
		return admin.TopNews{Type: "order", SendingIP: n.IP, Provider: n.Provider, Tenant: n.Tenant, Account: n.Account, What: n.Did, Was: n.Before, By: n.By, Why: n.Why}, true
	case event.Changed:
		what := n.State
		if n.Would {
			what += " (only observed)"
		}
		return admin.TopNews{Type: "changed", SendingIP: n.IP, Provider: n.Provider, Tenant: n.Tenant, Account: n.Account, What: what, Was: n.Was, By: n.By, Why: n.Why}, true
	case event.Finding:
		return admin.TopNews{Type: "finding", SendingIP: n.IP, Provider: n.Provider, Tenant: n.Tenant, What: n.Did.String(), Why: "slow: " + n.Phase + ", " + n.Scope}, true
	case event.Sighting:
		return admin.TopNews{Type: "sighting", SendingIP: n.IP, List: n.List, What: n.State.String(), Was: n.Was.String(), Why: n.Why}, true
	}
	return news, false
}
