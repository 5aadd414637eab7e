package sts

import (
	"strings"
	"testing"
)

// TestS12 holds the rules of the TXT record (RFC 8461 section 3.1). Strings of one record are joined by who asks DNS, and it follows CNAMEs.
func TestS12TheRecord(t *testing.T) {
	for _, c := range []struct {
		what  string
		texts []string
		id    string // "": no policy
		says  string
	}{
		{"none", nil, "", "no TXT record"},
		{"only others", []string{"v=spf1 -all", "V=STSv1; id=1;"}, "", "none of 2 TXT records"},
		{"two", []string{"v=STSv1; id=1;", "v=STSv1; id=2;"}, "", "2 TXT records of MTA-STS"},
		{"two that are the same", []string{"v=STSv1; id=1;", "v=STSv1; id=1;"}, "", "2 TXT records"},
		{"another version", []string{"v=STSv10; id=1;"}, "", "none of 1"},
		{"the version behind", []string{"id=1; v=STSv1"}, "", "none of 1"},
		{"a blank before", []string{" v=STSv1; id=1;"}, "", "none of 1"},
		{"the version alone", []string{"v=STSv1;"}, "", "want key=value"},
		{"no semicolon", []string{"v=STSv1 id=1"}, "", "none of 1"},
		{"no id", []string{"v=STSv1; x=1;"}, "", "no id"},
		{"id of 33", []string{"v=STSv1; id=" + strings.Repeat("a", 33)}, "", "want 1 to 32"},
		{"id with a dash", []string{"v=STSv1; id=a-b;"}, "", "want 1 to 32"},
		{"id of another alphabet", []string{"v=STSv1; id=é;"}, "", "want key=value"},
		{"an empty id", []string{"v=STSv1; id=;"}, "", "want key=value"},
		{"ID in capitals", []string{"v=STSv1; ID=1;"}, "", "no id"},
		{"an empty field", []string{"v=STSv1;; id=1;"}, "", "want key=value"},
		{"a blank in the key", []string{"v=STSv1; id =1;"}, "", "want key=value"},
		{"a blank in a value", []string{"v=STSv1; id=1; x=a b"}, "", "want key=value"},
		{"two equals signs", []string{"v=STSv1; id=1; x=a=b"}, "", "want key=value"},
		{"a control", []string{"v=STSv1; id=1; x=a\x00b"}, "", "want key=value"},
		{"usual", []string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z", ""},
		{"no last semicolon", []string{"v=STSv1; id=1"}, "1", ""},
		{"no blanks", []string{"v=STSv1;id=1;"}, "1", ""},
		{"many blanks", []string{"v=STSv1; \t id=1 \t ; "}, "1", ""},
		{"id of 32", []string{"v=STSv1; id=" + strings.Repeat("Z", 32)}, strings.Repeat("Z", 32), ""},
		{"an unknown field", []string{"v=STSv1; x-y.z_1=a:b; id=1; later=2"}, "1", ""},
		{"two ids: the first one", []string{"v=STSv1; id=1; id=2"}, "1", ""},
		{"among others", []string{"v=spf1 -all", "v=STSv1; id=1;", "v=STSv2; id=2;"}, "1", ""},
	} {
		id, err := readRecord(c.texts)
		if id != c.id || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v, want %q, %q", c.what, id, err, c.id, c.says)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=STSv1; id=1;", "v=spf1 -all")
	f.Add("v=STSv1;;", "")
	f.Add("v=STSv1; id=1; =", "v=STSv1;")
	f.Fuzz(func(t *testing.T, one, two string) {
		id, err := readRecord([]string{one, two})
		if (id == "") != (err != nil) || len(id) > mostID {
			t.Errorf("%q, %v", id, err)
		}
		if err == nil && strings.HasPrefix(one, recordStart) == strings.HasPrefix(two, recordStart) {
			t.Errorf("%q of two, or no records", id)
		}
	})
}
