package journal

import "bytes"

// command appends a command line.
func (g *guard) command(line []byte) {
	verb := verbOf(line)
	end := bytes.Index(line, verb) + len(verb)
	follows := g.secret
	g.secret = false
	switch {
	case equalFold(verb, "AUTH"):
		g.secret = true
		g.out = append(g.out, line[:end]...)
		if end < len(line) {
			g.out = append(g.out, " "+redacted...)
		}
		return
	case follows && isBase64(line):
		g.secret = true
		g.out = append(g.out, redacted...)
		return
	case g.mode == AddressesClear:
		g.out = append(g.out, line...)
		return
	}
	if c, ok := parseEnvelope(line); ok {
		g.out = append(g.out, c.before...)
		g.path(c.path)
		g.out = append(g.out, c.after...)
		g.params(c.params)
		return
	}
	if envelopeVerb(verb) || lookupVerb(verb) {
		// No address to be found, and yet there may be one.
		g.out = append(g.out, line[:end]...)
		if end < len(line) {
			g.out = append(g.out, " "+redacted...)
		}
		return
	}
	g.free(line)
}

// isBase64 tells the lines of an AUTH dialogue (RFC 4954 §4) from commands.
func isBase64(line []byte) bool {
	for _, v := range [...]string{"QUIT", "RSET", "NOOP", "DATA", "HELP", "STARTTLS"} {
		if equalFold(line, v) {
			return false
		}
	}
	for _, c := range line {
		if !wordOctet(c) && c != '+' && c != '/' && c != '=' && c != '*' {
			return false
		}
	}
	return len(line) > 0
}

// params appends the parameters of MAIL or RCPT (RFC 3461 §4 for those that name somebody).
func (g *guard) params(params []byte) {
	for len(params) > 0 {
		if params[0] == ' ' {
			g.out = append(g.out, ' ')
			params = params[1:]
			continue
		}
		token, _, _ := bytes.Cut(params, blank)
		params = params[len(token):]
		name, value, _ := bytes.Cut(token, equals)
		switch {
		case bytes.EqualFold(name, paramENVID):
			g.out = append(g.out, token[:len(token)-len(value)]...)
			g.plain = appendXtext(g.plain[:0], value)
			g.local(g.plain)
		case bytes.EqualFold(name, paramORCPT):
			address := value[bytes.IndexByte(value, ';')+1:]
			g.out = append(g.out, token[:len(token)-len(address)]...)
			g.path(appendXtext(nil, address))
		default:
			g.free(token)
		}
	}
}

// reply appends a line of a reply. Its codes are never taken for a local part.
func (g *guard) reply(line []byte) {
	n := 0
	for n < 3 && n < len(line) && line[n] >= '0' && line[n] <= '9' {
		n++
	}
	if n == 3 && n < len(line) && (line[n] == ' ' || line[n] == '-') {
		n++
		if bytes.HasPrefix(line, []byte("334 ")) { // an AUTH challenge
			g.out = append(g.out, "334 "+redacted...)
			return
		}
		if e, ok := enhancedLength(line[n:]); ok {
			n += e
		}
	}
	if g.mode == AddressesClear {
		g.out = append(g.out, line...)
		return
	}
	g.out = append(g.out, line[:n]...)
	g.freeFrom(line, n)
}

// free appends text of no known form.
func (g *guard) free(text []byte) { g.freeFrom(text, 0) }

// maxBracket bounds how far the end of a bracket or a quote is looked for.
const maxBracket = 512

// freeFrom appends text from offset i on, with every address and every known local part in it replaced.
func (g *guard) freeFrom(text []byte, i int) {
	if g.mode == AddressesClear {
		g.out = append(g.out, text[i:]...)
		return
	}
	start := len(g.out)
	for i < len(text) {
		if i >= g.until {
			g.left += len(text) - i
			return
		}
		switch c := text[i]; {
		case c == '<':
			i = g.bracket(text, i)
		case c == '"':
			i = g.quote(text, i)
		case c == '@' && i > 0 && text[i-1] == '"' && len(g.out) > 0 && g.out[len(g.out)-1] == '"':
			// The end of a quoted local part whose beginning was not found: nothing before it is safe to show.
			g.out = append(g.out[:start], redacted+"@"...)
			i++
		case localOctet(c):
			i = g.run(text, i)
		default:
			g.out = append(g.out, c)
			i++
		}
	}
}

// bracket appends <path>, if that is what begins at i, and gives the offset behind what it appended.
func (g *guard) bracket(text []byte, i int) int {
	g.out = append(g.out, '<')
	window := text[i+1 : min(len(text), i+1+maxBracket)]
	if bytes.IndexByte(window, '>') < 0 || bytes.IndexByte(window, '@') < 0 {
		return i + 1 // seen fast: there may be thousands of brackets
	}
	end := closing(window, '>')
	if bytes.IndexByte(window[:end], '@') < 0 {
		return i + 1
	}
	end += i + 1
	g.path(text[i+1 : end])
	g.out = append(g.out, '>')
	return end + 1
}

// quote appends a quoted local part, if that is what begins at i, else what a known local part or the quote itself asks for.
func (g *guard) quote(text []byte, i int) int {
	window := text[i+1 : min(len(text), i+1+maxBracket)]
	for j := 0; j < len(window); j++ {
		if window[j] == '\\' {
			j++
			continue
		}
		if window[j] != '"' {
			continue
		}
		if end := i + 1 + j + 1; end < len(text) && text[end] == '@' {
			g.local(text[i:end])
			return g.domain(text, end)
		}
		break
	}
	if n := g.locals.match(text, i); n > 0 {
		g.local(text[i : i+n])
		return i + n
	}
	g.out = append(g.out, '"')
	return i + 1
}

// run appends what begins at i and may be an unquoted local part.
func (g *guard) run(text []byte, i int) int {
	end := i
	for end < len(text) && (localOctet(text[end]) || text[end] == ';' && endsInEntity(text[i:end])) {
		if text[end] == '\\' && end+1 < len(text) {
			end++ // an escaped octet, even a blank
		}
		end++
	}
	if end < len(text) && text[end] == '@' {
		local := text[i:end]
		for len(local) > 1 && (local[0] == '\'' || local[0] == '`') {
			g.out = append(g.out, local[0]) // a quotation mark much rather than a part of the address
			local = local[1:]
		}
		g.local(local)
		return g.domain(text, end)
	}
	for i < end {
		local, past, ok := encodedAddress(text[i:end])
		if !ok {
			break
		}
		if past := g.bare(text, i, i+local); past > i+local {
			return past // it is within a known local part
		}
		at := i + local + encodedAt(text[i+local:end])
		g.local(decodedLocal(text[i+local : at]))
		g.out = append(g.out, text[at:i+past]...)
		i += past
	}
	return g.bare(text, i, end)
}

// bare appends what holds no address, with the known local parts in it replaced. One of these may go on behind the end: it gives the
// offset behind what it appended.
func (g *guard) bare(text []byte, i, end int) int {
	end = min(end, max(i, g.until))
	if g.locals.empty() {
		g.out = append(g.out, text[i:end]...)
		return end
	}
	from := i // of what is shown and has not been appended
	for i < end {
		may, size := g.locals.mayBegin(text[i:])
		if may {
			if n := g.locals.match(text, i); n > 0 {
				g.out = append(g.out, text[from:i]...)
				g.local(text[i : i+n])
				i += n
				from = i
				continue
			}
		}
		i += size
	}
	g.out = append(g.out, text[min(from, i):i]...)
	return i
}

// domain appends the "@domain" behind a local part, unless what stands there may be somebody's name: then that is left
// to be looked at.
func (g *guard) domain(text []byte, at int) int {
	g.out = append(g.out, '@')
	at++
	end := at
	for end < len(text) && domainOctet(text[end]) {
		end++
	}
	if end < len(text) && (text[end] == '@' || localOctet(text[end])) || !g.isHost(text[:end], at) {
		return at
	}
	g.out = append(g.out, text[at:end]...)
	return end
}

// isHost reports whether text from offset at on is a domain of the record, or at least holds no known local part.
func (g *guard) isHost(text []byte, at int) bool {
	host := bytes.TrimRight(text, ".")
	if len(host) > at && g.domains.match(host, at) == len(host)-at {
		return true
	}
	for i := at; i < len(text); i++ {
		if g.locals.match(text, i) > 0 {
			return false
		}
	}
	return true
}

// mayHoldCredential is a quick look at whether the guard must look closer in AddressesClear.
func mayHoldCredential(text []byte, k kind) bool {
	switch k {
	case kindCommand:
		// Any line of it may be AUTH; nearly always there is one line only.
		return equalFold(verbOf(text), "AUTH") || bytes.IndexByte(text, '\n') >= 0 || authParam(text) >= 0
	case kindReply:
		return len(text) > 0 && (text[0] != '2' && authParam(text) >= 0 || bytes.HasPrefix(text, []byte("334")))
	}
	return false
}

// withoutAuthParam replaces the value of AUTH= in a command, and in a reply that may quote the command. A 2xx reply has it as
// an EHLO keyword of old.
func (g *guard) withoutAuthParam(line []byte, k kind) []byte {
	if k == kindReply && len(line) > 0 && line[0] == '2' {
		return line
	}
	at := authParam(line)
	if at < 0 {
		return line
	}
	g.line = g.line[:0]
	for at >= 0 {
		g.line = append(g.line, line[:at]...)
		g.line = append(g.line, redacted...)
		_, rest, found := bytes.Cut(line[at:], blank)
		line = rest
		if found {
			g.line = append(g.line, ' ')
		}
		// What stood before the blank is gone, so a parameter at the very beginning counts.
		at = authParam(line)
	}
	g.line = append(g.line, line...)
	return g.line
}

// authParam is the offset behind the first "AUTH=" that begins a word; -1 if there is none.
func authParam(line []byte) int {
	for from := 0; ; {
		n := bytes.IndexByte(line[from:], '=')
		if n < 0 {
			return -1
		}
		eq := from + n
		if name := eq - len(paramAUTH); name >= 0 && bytes.EqualFold(line[name:eq], paramAUTH) &&
			(name == 0 || !wordOctet(line[name-1]) && line[name-1] != '<') {
			return eq + 1
		}
		from = eq + 1
	}
}
