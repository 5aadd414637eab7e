package check

// What keeps history from being kept, in processes that mail does not need.
var (
	historyWithoutRecords = declare(Kind{
		ID: "history-without-records", Severity: Warning,
		Meaning: "there is [history], and kanmon writes no records to a file",
		Why:     "nothing is kept; kanmon history and kanmon view do not start",
		Cure:    `add records = "/var/log/kanmon/records.jsonl" to [journal], then: systemctl reload kanmon`,
	})
	historyUnreadable = declare(Kind{
		ID: "history-unreadable", Severity: Warning,
		Meaning: "the user kanmon-view may not read a file of records",
		Why:     "history does not go on; mail does",
		Cure:    "usermod -a -G kanmon kanmon-view; the records and their folder are to be of the group kanmon",
	})
	historyFolder = declare(Kind{
		ID: "history-folder", Severity: Warning,
		Meaning: "the directory of [history] is missing, or the user kanmon-view may not write there",
		Why:     "kanmon history and kanmon view do not start",
		Cure:    "install -d -o kanmon-view -g kanmon-view -m 0750 DIRECTORY",
	})
	historySmall = declare(Kind{
		ID: "history-small", Severity: Warning,
		Meaning: "size of [history] is less than one day takes here, by the size of the records",
		Why:     "every attempt of one day at most is kept, and history is larger than it should be",
		Cure:    "a larger size",
	})
	historyDisk = declare(Kind{
		ID: "history-disk", Severity: Warning,
		Meaning: "size of [history] is more than its whole disk has",
		Why:     "history stops when the disk is full, in place of taking away the oldest days",
		Cure:    "want a size that the disk has, or another directory",
	})
)
