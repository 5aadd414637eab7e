package check

// What keeps people from being told of what has happened.
var (
	notifyWithoutHistory = declare(Kind{
		ID: "notify-without-history", Severity: Warning,
		Meaning: "there is [[notify_webhook]] or [[notify_mail]], and no [history]",
		Why:     "nobody is told of anything",
		Cure:    `add a line "[history]", then: systemctl restart kanmon-view`,
	})
	notifyUnreadable = declare(Kind{
		ID: "notify-unreadable", Severity: Warning,
		Meaning: "the user kanmon-view may not read a file of [[notify_webhook]] or [[notify_mail]], or it is not there",
		Why:     "kanmon history and kanmon view do not start, or mail of kanmon's own is not sent",
		Cure:    "chgrp kanmon-view FILE && chmod 0640 FILE",
	})
	notifyThroughKanmon = declare(Kind{
		ID: "notify-through-kanmon", Severity: Warning,
		Meaning: "a [[notify_mail]] leaves by a mail server of this host, whose mail to port 25 goes through kanmon",
		Why:     "a message about mail that waits may wait with it",
		Cure:    "smarthost with port 465 or 587; or have that mail server send through such a port",
	})
)
