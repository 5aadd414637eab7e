package session

import (
	"time"

	"kanmon/internal/smtp"
)

// A talk is the conversation with the MSA: what it has said, and what it has been told.
type talk struct {
	hello   smtp.Verb // with which the MSA introduced itself; VerbUnknown before EHLO or HELO
	begun   bool      // a first command has come
	quit    bool      // QUIT has
	ownList bool      // what the MSA was told at EHLO is kanmon's own list: there was no MX to give one
	refused bool      // the MX refused with its banner; nothing is forwarded any more
	rested  bool      // it was made to wait, once or more, for the others' sake
	watched bool      // its hang-up ends the slice of a wait
	orphan  bool      // it hung up behind a dot that has been forwarded, and does not come back
	left    bool      // it hung up while what it had said was held

	next  uint16 // of slots, the one that is answered next
	given given

	bad, idle int32 // malformed and unknown commands; commands without mail since the last accepted MAIL
	mails     int32 // that were admitted
	delivered int32

	slots  []slot        // the group of commands at hand
	group  []byte        // those of it that were forwarded
	said   *[]string     // whom they, and those before them, name, once somebody has asked
	openAt time.Duration // when the MSA was last seen not to have hung up, since the session began
}

// given are the slots whose replies the MSA has been given: those before the last write to it, and those with it.
type given struct{ before, now uint16 }

// awaited is the command whose reply the MSA waits for; nil: it is its message, or nothing.
func (t *talk) awaited() *slot {
	if int(t.next) < len(t.slots) {
		return &t.slots[t.next]
	}
	return nil
}
