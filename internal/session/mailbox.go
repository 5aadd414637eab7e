package session

import (
	"bytes"

	"kanmon/internal/smtp"
	"kanmon/internal/who/mailbox"
)

// Sender and recipients are brought into one form here, and everybody who decides by them is given that form (I17). The command goes
// to the MX as the MSA wrote it.

// mailboxOf returns the mailbox that a MAIL or RCPT names. What an MX may read in another way than it is read here is
// [mailbox.Unreadable]: it must not pass for somebody else, nor for the null sender.
func mailboxOf(cmd smtp.Command) string {
	path, params, ok := cmd.Path()
	switch {
	case !ok && namesNobody(cmd.Args):
		return mailbox.Null
	case !ok || !smtp.AreParams(params):
		return mailbox.Unreadable
	default:
		return mailbox.Form(path)
	}
}

// namesNobody reports whether the arguments are "FROM:" and nothing behind it, which some MXs take for the null sender.
func namesNobody(args []byte) bool {
	return len(args) > 0 && bytes.IndexByte(args, ':') == len(args)-1
}

// written returns what a MAIL or RCPT has for its mailbox, as it came: between the brackets, or, where that cannot be told, all behind the
// keyword. It is for the record: an unreadable sender is not the null sender there, either.
func written(cmd smtp.Command) []byte {
	path, params, ok := cmd.Path()
	if ok && smtp.AreParams(params) {
		return path
	}
	if _, behind, found := bytes.Cut(cmd.Args, []byte(":")); found {
		return bytes.TrimLeft(behind, " \t")
	}
	return cmd.Args
}

// keepMailbox keeps the mailbox that a command names. It makes a string only of what is not there already.
func keepMailbox(form *string, cmd smtp.Command) {
	if path, params, ok := cmd.Path(); ok && mailbox.IsForm(path) && smtp.AreParams(params) {
		keepText(form, path)
		return
	}
	*form = mailboxOf(cmd)
}

// recipientOf is the function of that name for a RCPT that may be the first one, whose mailbox is kept already.
func (s *session) recipientOf(cmd smtp.Command) string {
	if path, params, ok := cmd.Path(); ok && s.mail.recipientKnown && s.mail.recipient == string(path) && mailbox.IsForm(path) && smtp.AreParams(params) {
		return s.mail.recipient
	}
	return recipientOf(cmd)
}

// recipientOf returns the mailbox of a RCPT. One that cannot be read is told from others by its text: each has an outcome of its own.
func recipientOf(cmd smtp.Command) string {
	form := mailboxOf(cmd)
	if form == mailbox.Unreadable {
		form += " " + string(cmd.Args)
	}
	return form
}
