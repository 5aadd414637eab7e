package session

import (
	"bytes"
	"slices"
	"time"

	"kanmon/internal/event"
)

// A refusal may be kanmon's own doing: TLS with the MX has failed, plain text took its place unseen by the MSA, and the MX takes no
// mail in plain text. Directly the MSA would have deferred, or have had TLS of its own. So it gets a 4xx, and the next session tries
// TLS again.

// tlsRequired is the class of a refusal that wants TLS.
const tlsRequired = "tls_required"

// refusedForDowngrade says whether the refusal just read is about the plain text that kanmon has fallen back to; not where the MX never offered TLS.
func (s *session) refusedForDowngrade(class string) bool {
	if s.info.MX.State != event.TLSDowngraded || s.reply.Class() < 4 || class != tlsRequired && !wantsTLS(s.reply.Code, s.reply.Text()) {
		return false
	}
	s.e.Live.tls.insists(s.info.Destination.Addr().Unmap())
	return true
}

// softenDowngrade puts a temporary refusal in place of a final one.
func (s *session) softenDowngrade(phase event.Phase, j Judgement) {
	action := s.action(phase, s.reply.Code, j)
	action.Did, action.Why = event.Softened, s.info.MX.Err
	s.log.actedOn(action, &s.reply)
	s.log.reply(event.MarkFromMX, &s.reply, s.first, s.took)
	s.log.notef("the MX wants TLS, which has failed: %s", s.info.MX.Err)
	s.reply = replyTLSWanted.Clone()
}

// wantsTLS says, without a [Judge] or against one that does not know the words, whether a refusal asks for encryption: by the codes of
// RFC 3207 §4 and RFC 5248, or by a policy's enhanced code (x.7.x) and a word for it. Addresses and links, which may hold anything, do not count.
func wantsTLS(code int, text []byte) bool {
	words := bytes.FieldsFunc(bytes.ToLower(text), func(r rune) bool {
		return r == ' ' || r == '\n' || r == '\t' || r == '(' || r == ')' || r == ',' || r == ';' || r == '"' || r == '\''
	})
	words = slices.DeleteFunc(words, func(w []byte) bool { return bytes.ContainsAny(w, "@<>") || bytes.Contains(w, []byte("://")) })
	has := func(stems ...string) bool {
		return slices.ContainsFunc(words, func(w []byte) bool {
			return slices.ContainsFunc(stems, func(stem string) bool { return bytes.HasPrefix(w, []byte(stem)) })
		})
	}
	named := has("tls", "starttls", "ssl", "encrypt", "unencrypt", "cleartext", "plaintext")
	switch code {
	case 523, 538: // "encryption needed", "encryption required for …": what they were registered for
		return true
	case 530:
		return named || !has("auth", "login", "log", "credential", "password") // RFC 4954 §4 has it for AUTH, too
	default:
		return named && (has("4.7.", "5.7.") || !has("4.", "5."))
	}
}

// ownDoing says whether a refusal to open a connection comes of kanmon's having connected twice where TLS has failed: in this session,
// or, for an MX that says that it counts connections, in another one not long ago. That says nothing of the sending IP.
func (s *session) ownDoing(phase event.Phase, code int) bool {
	if phase > event.PhaseEHLOTLS || code >= 500 {
		return false
	}
	if s.mx.way&wayAgain != 0 {
		return true
	}
	return code != 0 && countsConnections(s.reply.Text()) && s.e.Live.tls.failedLately(s.info.Destination.Addr().Unmap(), time.Now())
}

// countsConnections says whether a reply speaks of how many connections there are.
func countsConnections(text []byte) bool {
	lower := bytes.ToLower(text)
	return bytes.Contains(lower, []byte("connection")) || bytes.Contains(lower, []byte("concurren")) || bytes.Contains(lower, []byte("too many sessions"))
}
