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

// refusedForDowngrade reports whether the refusal just read is about the plain text that kanmon has fallen back to, and
// makes the judgement of it that of a refusal to be softened; not where the MX never offered TLS.
func (s *session) refusedForDowngrade(phase event.Phase, j *Judgement) bool {
	if s.mx.info.MX.State != event.TLSDowngraded || s.mx.reply.Class() < 4 || j.Class != event.TLSRequired && !wantsTLS(phase, s.mx.reply.Code, s.mx.reply.Text()) {
		return false
	}
	s.e.Live.tls.insists(s.info.Destination.Addr().Unmap())
	j.Class, j.Rule, j.SoftenTo, j.Observe = event.TLSRequired, "plain text after TLS failed", replyTLSWanted.Code, false
	return true
}

// putMildly makes a temporary refusal of the one just read, where that is to be: one for the plain text is in kanmon's own words.
func (s *session) putMildly(phase event.Phase, j Judgement, downgraded bool) {
	if !downgraded || !j.softens(phase, &s.mx.reply) {
		s.soften(phase, j)
		return
	}
	action := s.action(phase, s.mx.reply.Code, j)
	action.Did, action.Why = event.Softened, s.mx.info.MX.Err
	s.log.acted(action, &s.mx.reply)
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	s.log.notef("the MX wants TLS, which has failed: %s", s.mx.info.MX.Err)
	s.mx.reply = replyTLSWanted.Clone()
}

// wantsTLS says, without a judgement or against one that does not know the words, whether a refusal asks for encryption: by the codes of
// RFC 3207 §4 and RFC 5248, or by an enhanced code of policy or of what a system can (x.7.x, x.3.3) and a word for it. Addresses and links,
// which may hold anything, do not count. Behind the body it must be the connection that is spoken of: messages are encrypted, too.
func wantsTLS(phase event.Phase, code int, text []byte) bool {
	words := bytes.FieldsFunc(bytes.ToLower(text), func(r rune) bool {
		return r == ' ' || r == '\n' || r == '\t' || r == '(' || r == ')' || r == ',' || r == ';' || r == '"' || r == '\''
	})
	words = slices.DeleteFunc(words, func(w []byte) bool { return bytes.ContainsAny(w, "@<>") || bytes.Contains(w, []byte("://")) })
	has := func(stems ...string) bool {
		return slices.ContainsFunc(words, func(w []byte) bool {
			return slices.ContainsFunc(stems, func(stem string) bool { return bytes.HasPrefix(w, []byte(stem)) })
		})
	}
	leg := has("connection", "session", "channel", "transport", "link")
	named := has("tls", "starttls", "ssl", "encrypt", "unencrypt", "cleartext", "plaintext") || leg && has("secure", "insecure", "unsecure")
	if phase >= event.PhaseBody {
		named = named && (leg || has("tls", "starttls", "needed", "required"))
	}
	switch code {
	case 523, 538: // "encryption needed", "encryption required for …": what they were registered for
		return true
	case 530:
		return named || !has("auth", "login", "log", "credential", "password") // RFC 4954 §4 has it for AUTH, too
	default:
		return named && (has("4.7.", "5.7.", "4.3.3", "5.3.3") || !has("4.", "5."))
	}
}

// ownDoing reports whether a refusal to open a connection comes of kanmon's having connected twice where TLS has failed: in this session,
// or, for an MX that says that it counts connections, in another one not long ago. That says nothing of the sending IP.
func (s *session) ownDoing(phase event.Phase, code int) bool {
	if phase > event.PhaseEHLOTLS || code >= 500 {
		return false
	}
	if s.mx.way&wayAgain != 0 {
		return true
	}
	return code != 0 && countsConnections(s.mx.reply.Text()) && s.e.Live.tls.failedLately(s.info.Destination.Addr().Unmap(), time.Now())
}

// countsConnections reports whether a reply speaks of how many connections there are.
func countsConnections(text []byte) bool {
	lower := bytes.ToLower(text)
	return bytes.Contains(lower, []byte("connection")) || bytes.Contains(lower, []byte("concurren")) || bytes.Contains(lower, []byte("too many sessions"))
}
