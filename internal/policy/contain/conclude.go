package contain

import "kanmon/internal/event"

// A conclusion is what an answer says of whoever has sent the mail.
type conclusion uint8

const (
	_             conclusion = iota // nobody has thought about it: a test fails
	nothing                         // it is about the moment, the receiver, the transaction, or our own IP's names
	answers                         // the receiver has decided, and it is nobody's fault
	deadRecipient                   // there is no such recipient
	badMessage                      // refused for what it is
	badSender                       // the address or its domain is refused
	badIP                           // our IP is refused: whose doing that is, followed finds out
)

// conclusions has those of each class, after RCPT and after the data.
var conclusions = [event.ClassCount]struct{ rcpt, data conclusion }{
	event.Unjudged:          {nothing, nothing},
	event.NoRefusal:         {answers, answers},
	event.IPBlocklisted:     {badIP, badIP},
	event.IPReputation:      {badIP, badIP},
	event.Throttled:         {nothing, nothing},
	event.Greylisted:        {nothing, nothing},
	event.DNSIdentity:       {nothing, nothing},
	event.AuthFailed:        {nothing, nothing}, // the tenant's DNS does not name us
	event.SenderRejected:    {badSender, badSender},
	event.ContentRejected:   {badMessage, badMessage},
	event.RecipientInvalid:  {deadRecipient, nothing}, // after the data receivers say so when a recipient does not want the sender
	event.MailboxFull:       {answers, nothing},
	event.RecipientPolicy:   {answers, nothing},
	event.MessageTooBig:     {nothing, nothing},
	event.RelayDenied:       {nothing, nothing},
	event.TLSRequired:       {nothing, nothing},
	event.SystemError:       {nothing, nothing},
	event.PolicyUnspecified: {answers, nothing},
	event.SilentDial:        {nothing, nothing},
	event.SilentReset:       {nothing, nothing},
}
