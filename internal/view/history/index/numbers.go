package index

import "fmt"

// ByID is in the number of a mail whose attempts share an id: the rest is a hash of it. The number of another one is of its first attempt.
const ByID = int64(1) << 60

// MailName is how people and filters name a mail.
func MailName(mail int64) string { return fmt.Sprintf("%016x", mail) }

// MailNamed gives the number of a mail by its name; ok is false where it is none.
func MailNamed(name string) (mail int64, ok bool) {
	n, err := fmt.Sscanf(name, "%016x", &mail)
	return mail, err == nil && n == 1 && len(name) == 16 && mail >= 0
}
