package history

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A world is what a large site's records look like: some tenants send most of the mail, some providers take most of it, one mail in fifteen is in
// trouble, and what was deferred comes again.
type world struct {
	rand  *rand.Rand
	line  uint64
	run   string
	again map[int64][]letter // by minute since 1970
}

// A letter is a mail on its way.
type letter struct {
	tenant, sender, to, id, queue string
	provider, tries               int
	octets                        int64
}

const (
	tenants   = 200
	accounts  = 40 // of each
	providers = 40
	ips       = 8
)

var names = [...]string{"google", "microsoft", "yahoo", "docomo", "au", "softbank", "icloud", "ocn", "nifty", "biglobe"}

func providerName(n int) string {
	if n < len(names) {
		return names[n]
	}
	return "provider" + strconv.Itoa(n)
}

func sendingIP(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + n)}) }

func newWorld(began time.Time) *world {
	return &world{rand: rand.New(rand.NewPCG(1, 2)), run: began.Format(time.RFC3339Nano), again: map[int64][]letter{}}
}

// few draws a number below n, small ones far more often.
func (w *world) few(n int) int {
	f := w.rand.Float64()
	return int(f * f * f * float64(n))
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789"

func (w *world) word(n int) string {
	buf := make([]byte, n)
	for i := range buf {
		buf[i] = letters[w.rand.IntN(len(letters))]
	}
	return string(buf)
}

func (w *world) letter() letter {
	tenant := w.few(tenants)
	l := letter{
		tenant: "tenant" + strconv.Itoa(tenant), provider: w.few(providers), octets: 1000 + int64(w.few(200_000)),
		id: w.word(20) + "@mail.tenant" + strconv.Itoa(tenant) + ".example", queue: "4" + w.word(12),
	}
	l.sender = "user" + strconv.Itoa(w.few(accounts)) + "@tenant" + strconv.Itoa(tenant) + ".example"
	l.to = "person" + strconv.Itoa(w.few(2_000_000)) + "@" + providerName(l.provider) + ".example"
	return l
}

// A refusing is how mail is refused, and how often: of ten thousand.
type refusing struct {
	often                    int
	code                     int
	text, class, scope, rule string
	dot                      bool
}

var refusals = [...]refusing{
	{250, 450, "4.2.0 <%s>: Recipient address rejected: Greylisted, see http://postgrey.example/help/%s.html", "greylisted", "receiver", "greylist", false},
	{150, 421, "4.7.28 [203.0.113.11] Our system has detected an unusual rate of unsolicited mail originating from your IP address. %s - gsmtp", "throttled", "ip", "rate", true},
	{140, 550, "5.1.1 <%s>: Recipient address rejected: User unknown in virtual mailbox table %s", "recipient_invalid", "recipient", "no such user", false},
	{60, 552, "5.2.2 <%s>: user is over quota %s", "mailbox_full", "recipient", "quota", false},
	{50, 451, "4.7.650 The mail server [203.0.113.11] has been temporarily rate limited due to IP reputation (%s) %s", "ip_reputation", "ip", "reputation", false},
	{40, 550, "5.7.26 This mail has been blocked because the sender is unauthenticated. %s", "auth_failed", "sender", "dmarc", true},
	{9, 554, "5.7.1 Service unavailable; Client host [203.0.113.11] blocked using zen.spamhaus.org; %s", "ip_blocklisted", "ip", "listed", false},
	{1, 554, "5.7.9 The message was refused by a filter that hardly anybody has met: %s", "content_rejected", "message", "rare", true},
}

func (w *world) refusing(l *letter) *refusing {
	n := w.rand.IntN(10_000)
	for i := range refusals {
		r := &refusals[i]
		if n -= r.often; n < 0 {
			if l.tries > 0 && r.class == "greylisted" {
				return nil
			}
			return r
		}
	}
	return nil
}

// day makes the lines of a day of so many attempts, in pieces.
func (w *world) day(begin time.Time, attempts, piece int, take func([]history.Line) error) error {
	lines := make([]history.Line, 0, 2*piece)
	step := 24 * time.Hour / time.Duration(attempts)
	for i := range attempts {
		at := begin.Add(time.Duration(i) * step)
		l := w.letter()
		if due := w.again[at.Unix()/60]; len(due) > 0 {
			l = due[len(due)-1]
			w.again[at.Unix()/60] = due[:len(due)-1]
		}
		lines = append(lines, w.attempt(&l, at)...)
		if i%1000 == 0 {
			lines = append(lines, w.news(at))
		}
		if len(lines) >= 2*piece || i == attempts-1 {
			if err := take(lines); err != nil {
				return err
			}
			lines = lines[:0]
		}
	}
	return nil
}

func (w *world) next() uint64 {
	w.line++
	return w.line
}

func (w *world) news(at time.Time) history.Line {
	e := &event.Entry{
		Type: "changed", At: at, Gateway: "gw1", Run: w.run, Line: w.next(), SendingIP: sendingIP(w.few(ips)), Provider: providerName(w.few(providers)), State: "slowed", Was: "active",
		By: "standing", Rule: "reputation",
	}
	return history.Line{Entry: e, Raw: fmt.Appendf(nil, `{"type":"changed","at":"%s","sending_ip":"%s","provider":"%s","state":"slowed","was":"active","by":"standing","rule":"reputation",%s`,
		stamp(at), e.SendingIP, e.Provider, w.tail(e.Line))}
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

func (w *world) tail(line uint64) string {
	return fmt.Sprintf(`"gateway":"gw1","run":"%s","line":%d}`, w.run, line)
}

// attempt makes the two lines of a session with one mail.
func (w *world) attempt(l *letter, at time.Time) []history.Line {
	r := w.refusing(l)
	ms := func(most int) float64 { return float64(w.few(most*1000)) / 1000 }
	ip, provider := sendingIP(w.few(ips)), providerName(l.provider)
	id := event.ID(w.rand.Uint64())
	took := [...]float64{ms(100), ms(300), ms(100), ms(3000)}
	e := &event.Entry{
		Type: "transaction", At: at, Gateway: "gw1", Run: w.run, Line: w.next(), Session: id, Number: 1, Start: at.Add(-300 * time.Millisecond), Source: "10.20.1.10:36806",
		Destination: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(l.provider), byte(w.few(20))}), 25), SendingIP: ip, Pool: "default", Provider: provider, Tenant: l.tenant,
		Account: l.sender, Sender: l.sender, MessageID: l.id, QueueID: l.queue, Received: at.Add(-time.Second), BodyBytes: l.octets, Outcome: "delivered",
		Mail: event.EntryReply{Code: 250, Text: "250 2.1.0 Ok", Took: event.Milliseconds(took[0])}, Duration: 300,
		Recipients: []event.EntryRecipient{{Address: l.to, Fate: "delivered", By: "mx", Told: 250, Reply: event.EntryReply{Code: 250, Text: "250 2.1.5 Ok", Took: event.Milliseconds(took[1])}}},
		Data:       event.EntryReply{Code: 354, Text: "354 End data with <CR><LF>.<CR><LF>", Took: event.Milliseconds(took[2])},
		Dot:        event.EntryReply{Code: 250, Text: "250 2.0.0 Ok: queued as " + w.word(11), Took: event.Milliseconds(took[3])},
		TLSMX:      event.EntryTLS{State: "tls"},
	}
	if r != nil {
		w.refuse(e, l, r)
	}
	fate := e.Recipients[0].Fate
	e.Results = map[string]int{fate: 1}
	head := fmt.Sprintf(`"session":"%s","start":"%s","source":"10.20.1.10:%d","destination":"%s","local":"%s:%d","sending_ip":"%s","tenant":"%s","pool":"default","route":"pool of the tenant","provider":"%s","ehlo_msa":"msa1.example","ehlo_mx":"out%d.example","tls_mx":{"state":"tls","version":"TLS 1.3","cipher":"TLS_AES_128_GCM_SHA256","curve":"X25519MLKEM768","names":["mx.%s.example"],"not_after":"2027-01-02T03:04:05Z","verified":true},"tls_msa":{"state":"none"},"phases":{"dial_ms":%.3f,"banner_ms":%.3f,"ehlo_ms":%.3f,"starttls_ms":%.3f,"handshake_ms":%.3f,"ehlo_tls_ms":%.3f}`,
		id, stamp(e.Start), 30000+w.rand.IntN(30000), e.Destination, ip, 30000+w.rand.IntN(30000), ip, l.tenant, provider, ip.As4()[3], provider, ms(100), ms(300), ms(100), ms(100), ms(200), ms(100))
	var raw []byte
	raw = fmt.Appendf(raw, `{"type":"transaction","at":"%s",%s,"number":1,"sender":"%s","account":"%s","message_id":"%s","msa_queue_id":"%s","msa_received":"%s","mail":%s,"recipients":[{"address":"%s","reply":%s,"told":%d,"fate":"%s","by":"mx"}],"results":{"%s":1},`,
		stamp(at), head, l.sender, l.sender, l.id, l.queue, stamp(e.Received), reply(&e.Mail), l.to, reply(&e.Recipients[0].Reply), e.Recipients[0].Told, fate, fate)
	if e.Dot.Code != 0 {
		raw = fmt.Appendf(raw, `"data":%s,"body_ms":%.3f,"body_bytes":%d,"dot":%s,`, reply(&e.Data), ms(50), e.BodyBytes, reply(&e.Dot))
	}
	raw = fmt.Appendf(raw, `"outcome":"%s","duration_ms":%.3f,"times":{"msa_ms":%.3f,"mx_ms":%.3f,"kanmon_ms":%.3f},"leg":1,%s`, e.Outcome, ms(900), ms(90), ms(900), ms(1), w.tail(e.Line))
	end := &event.Entry{
		Type: "session", At: at.Add(time.Millisecond), Gateway: "gw1", Run: w.run, Line: w.next(), Session: id, SendingIP: ip, Provider: provider, Tenant: l.tenant, Transactions: 1, EndReason: "quit",
		Legs: []event.EntryLeg{{Leg: 1, SendingIP: ip, Provider: provider, Phases: map[string]event.Milliseconds{
			"dial_ms": event.Milliseconds(ms(100)), "banner_ms": event.Milliseconds(ms(300)), "ehlo_ms": event.Milliseconds(ms(100)), "handshake_ms": event.Milliseconds(ms(200)),
		}}},
	}
	if e.Outcome == "delivered" {
		end.Delivered = 1
	}
	text := fmt.Appendf(nil, `{"type":"session","at":"%s",%s,"duration_ms":%.3f,"transactions":1,"delivered":%d,"times":{"msa_ms":%.3f,"mx_ms":%.3f,"opening_ms":%.3f,"kanmon_ms":%.3f},"opening":[{"phase":"banner","leg":1,"reply":{"code":220,"text":"220 mx.%s.example ESMTP Postfix","local":false,"first_ms":%.3f,"took_ms":%.3f}},{"phase":"ehlo_tls","leg":1,"reply":{"code":250,"text":"250-mx.%s.example at your service\n250-SIZE 157286400\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250-PIPELINING\n250-CHUNKING\n250 SMTPUTF8","local":false,"first_ms":%.3f,"took_ms":%.3f}}],"legs":[{"leg":1,"at_ms":0,"sending_ip":"%s","pool":"default","route":"pool of the tenant","provider":"%s"}],"octets":{"from_msa":%d,"to_msa":612,"from_mx":811,"to_mx":%d},"end_phase":"idle","end_reason":"quit",%s`,
		stamp(end.At), head, ms(900), end.Delivered, ms(90), ms(900), ms(300), ms(1), provider, ms(300), ms(300), provider, ms(100), ms(100), ip, provider, l.octets+300, l.octets+280, w.tail(end.Line))
	return []history.Line{{Raw: raw, Entry: e}, {Raw: text, Entry: end}}
}

func (w *world) refuse(e *event.Entry, l *letter, r *refusing) {
	is := event.EntryReply{
		Code: r.code, Text: fmt.Sprintf("%d ", r.code) + fmt.Sprintf(r.text, l.to, w.word(16)), Class: r.class, Scope: r.scope, Rule: r.rule, Took: event.Milliseconds(w.few(30_000)),
	}
	if r.dot {
		is.Text = fmt.Sprintf("%d ", r.code) + fmt.Sprintf(r.text, w.word(16))
		e.Dot = is
	} else {
		e.Recipients[0].Reply = is
		e.Data, e.Dot, e.BodyBytes = event.EntryReply{}, event.EntryReply{}, 0
	}
	to := &e.Recipients[0]
	to.Told = r.code
	if to.Fate, e.Outcome = "refused", "refused"; r.code < 500 {
		to.Fate, e.Outcome = "deferred", "deferred"
		if l.tries++; l.tries < 8 {
			next := *l
			minute := e.At.Unix()/60 + int64(5<<l.tries)
			w.again[minute] = append(w.again[minute], next)
		}
	}
}

func reply(r *event.EntryReply) string {
	text := fmt.Sprintf(`{"code":%d,"text":%q,"local":false`, r.Code, r.Text)
	if r.Class != "" {
		text += fmt.Sprintf(`,"class":"%s","scope":"%s","rule":"%s"`, r.Class, r.Scope, r.Rule)
	}
	return text + fmt.Sprintf(`,"first_ms":%.3f,"took_ms":%.3f}`, float64(r.Took), float64(r.Took))
}
