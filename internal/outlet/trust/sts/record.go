package sts

import (
	"errors"
	"fmt"
	"strings"
)

// errNoRecord is seen for a domain that has no TXT record of MTA-STS: it has no policy.
var errNoRecord = errors.New("there is no TXT record of MTA-STS")

const (
	recordStart = "v=" + version + ";"
	mostID      = 32 // letters and digits
)

// readRecord returns the id of the one valid record among the texts of _mta-sts (RFC 8461 section 3.1). Those that do not begin as one are
// no records; with more than one, or one that is wrong, the domain has no policy.
func readRecord(texts []string) (id string, err error) {
	record, count := "", 0
	for _, text := range texts {
		if strings.HasPrefix(text, recordStart) {
			record = text
			count++
		}
	}
	switch {
	case count == 0 && len(texts) > 0:
		return "", fmt.Errorf("%w: none of %d TXT records begins with %q", errNoRecord, len(texts), recordStart)
	case count == 0:
		return "", errNoRecord
	case count > 1:
		return "", fmt.Errorf("there are %d TXT records of MTA-STS, want one", count)
	}
	fields := strings.Split(strings.TrimRight(strings.TrimPrefix(record, recordStart), wordBreaks), ";")
	if last := len(fields) - 1; fields[last] == "" && last > 0 {
		fields = fields[:last] // the record may end with a semicolon
	}
	for _, field := range fields {
		key, value, _ := strings.Cut(strings.Trim(field, wordBreaks), "=")
		switch {
		case !isFieldKey(key) || value == "" || strings.ContainsFunc(value, notInValue):
			return "", fmt.Errorf("the TXT record of MTA-STS has %q, want key=value", field)
		case key != "id" || id != "": // unknown, or a further one
			continue
		case len(value) > mostID || strings.ContainsFunc(value, func(r rune) bool { return r > 0x7f || !isAlphanumeric(byte(r)) }):
			return "", fmt.Errorf("the TXT record of MTA-STS has the id %q, want 1 to %d letters and digits", value, mostID)
		}
		id = value
	}
	if id == "" {
		return "", errors.New("the TXT record of MTA-STS has no id")
	}
	return id, nil
}

// notInValue reports what may not stand in the value of a field: blanks, "=", ";", controls, and what is not ASCII.
func notInValue(r rune) bool { return r <= ' ' || r >= 0x7f || r == '=' || r == ';' }
