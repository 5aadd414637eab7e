package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
)

// A queued is what was found in queues, by the mails' ids: mails themselves, and notices that they could not be delivered.
type queued struct{ mails, notices map[string]bool }

// queued gives what is in the queues, what is being delivered included.
func (s *site) queued() queued {
	// A mail goes through them in this order, and from the last back to the first: read so, none is missed that moves meanwhile.
	return s.inQueues("incoming", "active", "deferred", "incoming", "active")
}

func (s *site) inQueues(queues ...string) queued {
	found := queued{map[string]bool{}, map[string]bool{}}
	for _, msa := range s.msas {
		for _, queue := range queues {
			_ = filepath.WalkDir(filepath.Join(msa.Host.Dir, "postfix/queue", queue), func(path string, entry os.DirEntry, err error) error {
				if err != nil || !entry.Type().IsRegular() {
					return nil //nolint:nilerr // it has moved on
				}
				content, _ := os.ReadFile(path)
				found.add(content)
				return nil
			})
		}
	}
	return found
}

var idPattern = regexp.MustCompile(idField + `([a-z]+-\d+-\d+)`)

// add reads the mail's id out of a file of Postfix's queue. A notice that a mail could not be delivered has that mail's header in it.
func (q *queued) add(content []byte) {
	id := idPattern.FindSubmatch(content)
	switch {
	case id == nil:
	case isNotice(content):
		q.notices[string(id[1])] = true
	default:
		q.mails[string(id[1])] = true
	}
}

// isNotice knows a notice of non-delivery by how Postfix marks it, as RFC 3834 says.
func isNotice(content []byte) bool { return bytes.Contains(content, []byte("Auto-Submitted: ")) }
