package classify

import "testing"

// A greeting that says no more than the name of the host does not say whom it refuses: by RFC 5321 a 554 means that there is no service. Its words,
// or another code, can say that it is us.
func TestGreetingWithoutWords(t *testing.T) {
	rules := builtinOf(t)
	for text, want := range map[string]Class{
		"554 mx.example.net":                RelayDenied,
		"554 mx.example.net ESMTP":          RelayDenied,
		"554-mx.example.net\n554 ":          RelayDenied,
		"554 ":                              RelayDenied,
		"554":                               RelayDenied,
		"554 ESMTP":                         RelayDenied,
		"554 mx.example.net [203.0.113.10]": RelayDenied,
		"554 mx-in-3.example.net ESMTP server ready":      RelayDenied,
		"554 No SMTP service here":                        RelayDenied,
		"554 mx.example.net ESMTP not accepting messages": RelayDenied,
		"521 mx.example.net":                              RelayDenied,
		"521 mx.example.net does not accept mail":         RelayDenied,
		"521 5.7.1 mx.example.net":                        IPReputation,
		"521 Access denied, 203.0.113.10 is blacklisted":  IPBlocklisted,
		"554 5.7.1 mx.example.net":                        IPReputation,
		"550 mx.example.net":                              IPReputation,
		"554 mx.example.net ESMTP access denied":          IPReputation,
		"554 mx.example.net geen toegang":                 IPReputation,
		"554-mx.example.net\n554 Your access has been rejected due to the sending MTA's poor reputation": IPReputation,
		"554 mx.example.net ESMTP 203.0.113.10 is listed at zen.spamhaus.org":                            IPBlocklisted,
		"421 mx.example.net": SystemError,
	} {
		if v := rules.Classify(Query{Text: text, Phase: "banner", SendingIP: ours}); v.Class != want {
			t.Errorf("%q: %s by rule %q, want %s", text, v.Class, v.Rule, want)
		}
	}
}
