package outlet

import "kanmon/internal/event"

// A stake is what a refusal's class says of our sending IP.
type stake uint8

const (
	_         stake = iota // nobody has thought about it: a test fails
	ofOthers               // the IP is not what is refused: it goes to the MSA as it is
	ofOurIP                // the IP is, for what it is: another may be spent on the mail, and its retry need not come from this one
	ofTooMuch              // the IP sends too much, where the scope says so: no other is spent, but the refusal is softened
)

// A putOff says which 4xx of a class can be greylisting.
type putOff uint8

const (
	_               putOff = iota // nobody has thought about it: a test fails
	putOffNever                   // none
	putOffAlways                  // it says so
	putOffFaults                  // 450 and 451, and a 452 that speaks of a delay
	putOffDeferrals               // 450 and 451
	putOffByScope                 // likewise, unless the scope or the words are about our IP
)

// classes is what each class is to the way out.
var classes = [event.ClassCount]struct {
	stake
	putOff
}{
	event.Unjudged:          {ofOthers, putOffNever},
	event.NoRefusal:         {ofOthers, putOffNever},
	event.IPBlocklisted:     {ofOurIP, putOffNever},
	event.IPReputation:      {ofOurIP, putOffNever},
	event.Throttled:         {ofTooMuch, putOffByScope},
	event.Greylisted:        {ofOthers, putOffAlways},
	event.DNSIdentity:       {ofOthers, putOffNever}, // an operator has to mend the names
	event.AuthFailed:        {ofOthers, putOffNever},
	event.SenderRejected:    {ofOthers, putOffNever},
	event.ContentRejected:   {ofOthers, putOffNever},
	event.RecipientInvalid:  {ofOthers, putOffDeferrals},
	event.MailboxFull:       {ofOthers, putOffNever},
	event.RecipientPolicy:   {ofOthers, putOffDeferrals},
	event.MessageTooBig:     {ofOthers, putOffNever},
	event.RelayDenied:       {ofOthers, putOffNever},
	event.TLSRequired:       {ofOthers, putOffNever}, // behind our own downgrade the session softens it
	event.SystemError:       {ofOthers, putOffFaults},
	event.PolicyUnspecified: {ofOthers, putOffFaults},
	event.SilentDial:        {ofOthers, putOffNever}, // silenced judges it
	event.SilentReset:       {ofOthers, putOffNever},
}
