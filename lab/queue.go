package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
)

// queued gives the ids of the mails in the queues, those that are being delivered included.
func (s *site) queued() map[string]bool {
	// A mail goes through them in this order, and from the last back to the first: read so, none is missed that moves meanwhile.
	return s.inQueues("incoming", "active", "deferred", "incoming", "active")
}

func (s *site) inQueues(queues ...string) map[string]bool {
	ids := map[string]bool{}
	for _, msa := range s.msas {
		for _, queue := range queues {
			_ = filepath.WalkDir(filepath.Join(msa.Host.Dir, "postfix/queue", queue), func(path string, entry os.DirEntry, err error) error {
				if err != nil || !entry.Type().IsRegular() {
					return nil //nolint:nilerr // it has moved on
				}
				content, _ := os.ReadFile(path)
				if id := queuedID(content); id != "" {
					ids[id] = true
				}
				return nil
			})
		}
	}
	return ids
}

var idPattern = regexp.MustCompile(idField + `([a-z]+-\d+-\d+)`)

// queuedID reads the mail's id out of a file of Postfix's queue. A notice that a mail could not be delivered has that mail's header
// in it, and is not that mail: Postfix marks it as RFC 3834 says.
func queuedID(content []byte) string {
	id := idPattern.FindSubmatch(content)
	if id == nil || isNotice(content) {
		return ""
	}
	return string(id[1])
}

func isNotice(content []byte) bool { return bytes.Contains(content, []byte("Auto-Submitted: ")) }
