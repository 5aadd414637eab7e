package explain

import (
	"cmp"
	"fmt"

	"kanmon/internal/admin"
)

// misdeeds say what a signal's numbers count: bad outcomes, of cases, in a window.
var misdeeds = map[string]string{
	"unknown_recipients": "%d of %d recipients answered in %s do not exist",
	"content":            "%d of %d messages answered in %s were refused as spam or for what is in them",
	"sender":             "%d of %d answers in %s refuse the sender or its domain",
	"listing":            "%d of %d answers in %s refuse our sending IPs, which others' mail is accepted from",
	"backscatter":        "%d of %d bounces in %s went to recipients that do not exist",
	"spread_unknown":     "%d of %d recipients answered in %s, of many accounts, do not exist",
	"spread_content":     "%d of %d messages answered in %s, of many accounts, were refused as spam or for what is in them",
	"scanners":           "%d of %d messages scanned in %s are such that scanners would refuse them",
}

// Measured says a reading in words: "37 of 210 recipients answered in the last hour do not exist (18 %, …)".
func Measured(r *admin.Reading, window string) string {
	switch r.Signal {
	case "volume":
		return fmt.Sprintf("about %d distinct recipients in one hour, %.0f are allowed without a look at what became of them", r.Bad, r.Threshold)
	case "viruses":
		return fmt.Sprintf("scanners have found a virus in %d of %d messages scanned in one day, %.0f are enough", r.Bad, r.Cases, r.Threshold)
	case "many_accounts":
		return fmt.Sprintf("%d of its %d accounts are contained, %.0f are enough", r.Bad, r.Cases, r.Threshold)
	}
	does := map[string]string{
		admin.LevelNormal: "slow", admin.LevelSlow: "slow", admin.LevelDivert: "divert", admin.LevelStop: "stop",
	}[r.Level]
	text := fmt.Sprintf(cmp.Or(misdeeds[r.Signal], "%d of %d in %s were bad"), r.Bad, r.Cases, window)
	text += fmt.Sprintf(" (%s, at least %s with confidence; %s %s a sender)", Percent(r.Share), Percent(r.Low), Percent(r.Threshold), does)
	if r.Named {
		text += "; these are what providers with a name have said, whatever strangers accept"
	}
	if r.Elsewhere {
		text += "; one provider refuses what others accept, which counts less"
	}
	return text
}

// sameNumbers says that all of the day was in the last hour.
func sameNumbers(day, hour *admin.Reading) bool {
	return day.Signal == hour.Signal && day.Bad == hour.Bad && day.Cases == hour.Cases
}

// Counted reports that a signal's threshold is for a number, not for a share.
func Counted(r *admin.Reading) bool {
	return r.Signal == "volume" || r.Signal == "many_accounts" || r.Signal == "viruses"
}
