package classify

import "bytes"

// An address in a reply is not blame: receivers quote our IP in brackets, behind "from" or "client host", in a log's id, whatever
// they refuse. So a reply is read twice, as it stands and without the addresses that it quotes and the words that only
// introduce them. Rules whose own phrases say <ip> see the first, all others the second: there "from your host <ip>" changes
// nothing.

// unquote returns the text of a reply in two forms: with <ip> for each address and the nouns that introduce it, "from <ip>", and
// without the addresses and all that introduces them. It reports whether there are any.
//
// A URL with an address in it may be a mere pointer to the case, in the midst of a phrase. In the second form it stands at the end, unless
// isList reports that it leads to a block list.
func (n *normal) unquote(isList func(word []byte) bool) (quoted bool) {
	if !bytes.Contains(n.text, []byte("<ip>")) { // most quote none
		n.unquoted = append(n.unquoted[:0], n.text...)
		return false
	}
	var words frame
	behind := false // the word before was an address
	with, without := append(n.quoting[:0], ' '), append(n.unquoted[:0], ' ')
	pointers := n.pointers[:0]
	for rest := n.text[1:]; len(rest) > 0; {
		word, more, _ := bytes.Cut(rest, []byte{' '})
		rest = more
		switch {
		case string(word) == "<ip>":
			nouns, all := words.begin(with, isList)
			if nouns > 0 {
				with = with[:words.with[nouns-1]]
			}
			if all > 0 {
				without = without[:words.without[all-1]]
			}
			with = append(with, "<ip> "...)
			words.n, quoted, behind = 0, true, true
			continue
		case bytes.IndexByte(word, '/') >= 0 && bytes.Contains(word, []byte("<ip>")) && !isList(word):
			pointers = append(append(pointers, ". "...), word...)
			quoted = true
			with = append(append(with, word...), ' ')
			continue
		case behind && len(word) <= 5 && digits(string(word)): // its port
			continue
		}
		words.push(len(with), len(without))
		behind = false
		with, without = append(append(with, word...), ' '), append(append(without, word...), ' ')
	}
	if len(pointers) > 0 {
		without = append(append(without, pointers...), ' ')
	}
	n.quoting, n.unquoted, n.pointers = with, without, pointers
	return quoted
}

// A frame is where the last words begin in both texts, the last one first: as many as introduce an address at most, "by the remote
// mail host mail.example.com at IP address", and one more.
type frame struct {
	with, without [9]int
	n             int
}

func (f *frame) push(with, without int) {
	copy(f.with[1:], f.with[:])
	copy(f.without[1:], f.without[:])
	f.with[0], f.without[0], f.n = with, without, min(f.n+1, len(f.with))
}

// begin counts the words that are there for the sake of the address behind them: its host's name and nouns for a host; and all,
// with article and preposition. Nouns are left alone behind a word that wants one: "unknown host [203.0.113.10]" keeps its host.
func (f *frame) begin(text []byte, isList func(word []byte) bool) (nouns, all int) {
	word := func(i int) []byte {
		if i >= f.n {
			return nil
		}
		end := len(text)
		if i > 0 {
			end = f.with[i-1]
		}
		return text[f.with[i] : end-1]
	}
	if is := string(word(0)); is == "is" || is == "was" { // "your IP address is 203.0.113.10"
		if !hostNoun(word(1)) {
			return 0, 0
		}
		nouns++
	}
	if hostName(word(nouns)) && !isList(word(nouns)) && string(word(nouns+1)) != "from" || anonymous(word(nouns), word(nouns+1)) || string(word(nouns)) == "<said>" && hostNoun(word(nouns+1)) {
		nouns++
		if string(word(nouns)) == "h" { // as Exim logs it: H=(name) [address]
			nouns++
		}
	}
	named := nouns
	for hostNoun(word(nouns)) || qualifies(word(nouns)) && (serverNoun(word(nouns+1)) || nouns > named && serverNoun(word(nouns-1))) ||
		nouns > named && string(word(nouns)) == "sender" && string(word(nouns-1)) == "ip" && !described(word(nouns+1)) {
		nouns++
	}
	for nouns > named && !leads(word(nouns-1)) && (nouns == named+1 || string(word(nouns-2)) != "server") { // "mail server" is one
		if string(word(nouns-1)) == "address" && article(word(nouns)) { // "your address 203.0.113.10"
			break
		}
		nouns--
	}
	if nouns == named || wanted(word(nouns), word(named), nouns-named) && named == 0 {
		switch string(word(named)) {
		case "from", "at", "via":
			return named, f.participle(word, named+1)
		}
		return named, named
	}
	if article(word(nouns)) {
		nouns++
	}
	if all = nouns; preposition(word(all)) {
		all = f.participle(word, all+1)
	}
	return nouns, all
}

// participle counts the word in front of a preposition, if it says how the address comes into it.
func (f *frame) participle(word func(int) []byte, i int) int {
	switch string(word(i)) {
	case "sent", "received", "connecting", "connected", "submitted", "relayed", "originating", "delivered", "coming", "connection", "connect":
		return i + 1
	}
	return i
}

// hostName reports whether a word can be a host's name: not that of a list, which may be known to nobody else: rbl.example.net.
func hostName(word []byte) bool {
	at := bytes.IndexByte(word, '.')
	if at <= 0 || at == len(word)-1 || bytes.IndexByte(word, '/') >= 0 || isEnhanced(string(word)) {
		return false
	}
	for label := range bytes.SplitSeq(word, []byte{'.'}) {
		switch string(label) {
		case "dbl", "rbl", "dnsbl", "dnsrbl", "bl", "blacklist", "blocklist":
			return false
		}
	}
	return true
}

// anonymous reports whether a word is what Postfix calls a client without a name: "connect from unknown[203.0.113.10]".
func anonymous(word, before []byte) bool {
	return string(word) == "localhost" || string(word) == "unknown" && (string(before) == "from" || string(before) == "<mail>")
}

func hostNoun(word []byte) bool {
	switch string(word) {
	case "ip", "ips", "ipv4", "ipv6", "addr", "address", "adresse", "ipaddress", "client", "host", "server", "mta", "mailserver", "smtp", "mail", "gateway",
		"relay", "peer", "remote", "sending", "connecting", "source", "originating", "origin", "clientip", "sourceip", "remoteip", "rip", "src", "sip",
		"connection", "id", "session", "direccion", "indirizzo", "endereco", "adresu", "serveur", "servidor", "serwer", "serwera", "hote", "rechner", "cliente", "klient", "hosta",
		"сервер", "сервера", "хост", "хоста", "узел", "узла", "клиент", "клиента", "адрес", "адреса":
		return true
	}
	return false
}

// serverNoun reports whether a noun is of a host and of nothing that only has an address: "Absender (Client 203.0.113.10)" is a sender.
func serverNoun(word []byte) bool {
	switch string(word) {
	case "server", "mailserver", "mta", "rechner", "serveur", "servidor", "serwer", "serwera", "сервер", "сервера":
		return true
	}
	return false
}

// qualifies reports whether a word says which host, in front of the noun or behind it: "Absender-Server", "serveur expéditeur".
func qualifies(word []byte) bool {
	switch string(word) {
	case "absender", "expediteur", "emetteur", "remitente", "emisor", "mittente", "nadawcy", "remetente", "afzender", "отправителя":
		return true
	}
	return false
}

// leads reports whether a noun can be the first of its kind: not "verify address", "unable to relay", "your mail".
func leads(word []byte) bool {
	switch string(word) {
	case "addr", "address", "smtp", "mail", "gateway", "relay", "connection", "direccion", "indirizzo", "endereco":
		return false
	}
	return true
}

func article(word []byte) bool {
	switch string(word) {
	case "the", "your", "our", "this", "its", "a", "an", "ihre", "ihrer", "ihr", "ihrem", "ihres", "ihren", "die", "der", "dem", "den", "des", "votre", "notre", "le", "su", "sua", "tu", "seu", "il", "la", "el",
		"vostro", "tuo", "suo", "uw", "het", "twoj", "twojego", "wasz", "waszego", "panstwa", "ваш", "вашего":
		return true
	}
	return false
}

func preposition(word []byte) bool {
	switch string(word) {
	case "from", "for", "by", "at", "via", "through", "von", "de", "da", "del", "desde", "depuis", "od", "z", "van", "dal", "par", "vom", "du", "uit", "с", "от":
		return true
	}
	return false
}

// described reports whether a word says of somebody behind it what is done with him: "banned sender (IP 203.0.113.10)" is a sender.
func described(word []byte) bool {
	return bytes.HasSuffix(word, []byte("ed")) || wanted(word, nil, 1) || wanted(word, []byte("ip"), 1)
}

// wanted reports whether a word wants the nouns behind it, of which the last is given: what is said is said of them.
func wanted(word, last []byte, nouns int) bool {
	switch string(word) {
	case "invalid", "bad", "no", "such", "illegal", "wrong", "null", "nonexistent", "another", "other", "forged", "unknown":
		return nouns == 1 && string(last) != "ip" && string(last) != "id"
	case "banned", "blacklisted", "suspicious", "suspected", "black", "dynamic", "residential", "untrusted", "dirty", "poor":
		return string(last) == "ip" || string(last) == "ips" || string(last) == "address"
	}
	return false
}
