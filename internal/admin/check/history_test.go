package check

import (
	"errors"
	"os"
	"path/filepath"
)

// viewed is a site that has history kept, by a user of its own.
const viewed = plain + "[history]\nrecords = 'DIR/log/records.jsonl'\ndirectory = 'DIR/history'\n"

// withViewUser has kanmon-view be a user that is none of kanmon's, on a host where root looks.
func withViewUser(r *rig) {
	r.asNobody()
	r.folder("log")
	r.folder("history")
	r.mode("history", 0o777)
}

// historyRows: mail needs none of it, and whoever is to see the history wants to know why there is none.
func historyRows() []row {
	large := func(name string) func(*rig) {
		return func(r *rig) {
			withViewUser(r)
			file("log/records.jsonl", "")(r)
			file("log/"+name, "")(r)
			if err := os.Truncate(filepath.Join(r.dir, "log", name), 3<<30); err != nil {
				r.Fatal(err)
			}
		}
	}
	return []row{
		{id: "history-without-records", name: "records off", doc: plain + "[history]\n", want: "history: kanmon writes no records to a file", good: viewed, goodHost: withViewUser},
		{
			id: "history-unreadable", name: "records of kanmon alone", doc: viewed, want: "DIR/log/records.jsonl cannot be read by user nobody: permission denied", good: viewed,
			host: func(r *rig) { withViewUser(r); file("log/records.jsonl", "")(r); r.mode("log/records.jsonl", 0o640) }, goodHost: func(r *rig) { withViewUser(r); file("log/records.jsonl", "")(r) },
		},
		{
			id: "history-unreadable", name: "folder of kanmon alone", doc: viewed, want: "DIR/log/records.jsonl, in the folder DIR/log that is closed to it, cannot be read by user nobody",
			host: func(r *rig) { withViewUser(r); r.mode("log", 0o750) }, good: viewed, goodHost: withViewUser,
		},
		{id: "history-folder", name: "no directory", doc: viewed, want: "history.directory: DIR/history: no such file or directory", host: func(r *rig) { withViewUser(r); r.remove("history") }, good: viewed, goodHost: withViewUser},
		{
			id: "history-folder", name: "directory of root", doc: viewed, want: "history.directory: DIR/history cannot be written by user nobody",
			host: func(r *rig) { withViewUser(r); r.mode("history", 0o755) }, good: viewed, goodHost: withViewUser,
		},
		{
			id: "history-folder", name: "a file", doc: viewed, want: "DIR/history is a file, and history is kept in a directory",
			host: func(r *rig) { withViewUser(r); r.remove("history"); file("history", "")(r) }, good: viewed, goodHost: withViewUser,
		},
		{
			id: "history-small", name: "less than a day", doc: viewed + "size = '500MiB'\n", host: large("records.jsonl-20260630"), want: "history.size: 500 MiB are to be enough, and a day takes about 768 here",
			good: viewed + "size = '500MiB'\n", goodHost: large("records.jsonl-20260630.gz"),
		},
		{id: "history-disk", name: "more than the disk", doc: viewed + "size = '900000GiB'\n", host: withViewUser, want: "MiB are more than the whole disk of DIR/history has", good: viewed + "size = 0\n", goodHost: withViewUser},
		{
			id: "not-checked", name: "no user of history", doc: viewed, want: "there is no user kanmon-view", good: viewed, goodHost: withViewUser,
			host: func(r *rig) {
				withViewUser(r)
				r.LookupUser = func(name string) (*User, error) {
					if name == "kanmon-view" {
						return nil, errors.New("unknown user")
					}
					return &nobodyUser, nil
				}
			},
		},
	}
}
