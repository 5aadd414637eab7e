package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
)

// Attacks that send mail.

const mostRecipients = 1000

// plain sends what is refused or not, as its MX is.
func (a *attacker) plain() {
	a.campaign(16, 20, a.own, func() (string, []string, string) {
		n := a.next()
		return fmt.Sprintf("user%d@%s", n%50, a.domain()), []string{fmt.Sprintf("r%d@%s", n, a.domain())}, shortBody
	})
}

func (a *attacker) thousand() {
	a.campaign(12, 10, a.own, func() (string, []string, string) {
		return "news@" + a.domain(), many(mostRecipients, func(i int) string { return fmt.Sprintf("r%d@%s", i, a.domain()) }), shortBody
	})
}

// cjk has local parts that begin with different characters.
func (a *attacker) cjk() {
	a.campaign(4, 10, a.own, func() (string, []string, string) {
		return "news@" + a.domain(), many(mostRecipients, func(i int) string {
			return fmt.Sprintf("%c%c用户信箱%d@%s", 0x4e00+i, 0x5e00+rand.IntN(4000), i, a.domain())
		}), shortBody
	})
}

func (a *attacker) madeUpSenders() {
	a.campaign(4, 50, a.own, func() (string, []string, string) {
		n := a.next()
		return fmt.Sprintf("sender%d@%s", n, a.domain()), many(50, func(i int) string { return fmt.Sprintf("gone%d.%d@%s", n, i, a.domain()) }), shortBody
	})
}

// toSites sends mail to all MXs of the world, in sessions of so many mails.
func (a *attacker) toSites(mails int, one func(s site, n int64) (from string, rcpts []string)) {
	a.spawn(8, func() {
		s := anySite()
		t := a.open(s.address, "msa."+a.domain())
		if t == nil {
			return
		}
		defer t.close()
		for range mails {
			from, rcpts := one(s, a.next())
			if code := t.mail(from, rcpts, longBody); code == 0 || code == 421 {
				return
			}
		}
	})
}

// longBody is long enough for an MX to refuse it before its end.
var longBody = shortBody + strings.Repeat("\r\nBuy this, and that, and whatever else there is.", 100)

func (a *attacker) nullSender() {
	a.toSites(10, func(s site, n int64) (string, []string) {
		return "", []string{fmt.Sprintf(spamWord+"med%d@%s", n, s.domain)}
	})
}

func (a *attacker) sameTwenty() {
	a.toSites(10, func(s site, n int64) (string, []string) {
		return spamWord + "mer@" + a.domain(), []string{fmt.Sprintf("person%d@%s", n%5, s.domain)}
	})
}

func (a *attacker) midBody() {
	a.toSites(1, func(s site, n int64) (string, []string) {
		return midBodyWord + "@" + a.domain(), []string{fmt.Sprintf("person%d@%s", n, s.domain)}
	})
}

func (a *attacker) harvest() {
	a.toSites(10, func(s site, n int64) (string, []string) {
		return "seeker@" + a.domain(), many(20, func(i int) string { return fmt.Sprintf("%s%d.%d@%s", goneWord, n, i, s.domain) })
	})
}

func (a *attacker) verp() {
	a.toSites(10, func(s site, n int64) (string, []string) {
		return fmt.Sprintf("%s-bounces+person%d=%s@%s", spamWord, n, s.domain, a.domain()), []string{fmt.Sprintf("person%d@%s", n, s.domain)}
	})
}

func (a *attacker) callouts() {
	a.spawn(8, func() {
		s := anySite()
		t := a.open(s.address, "msa."+a.domain())
		if t == nil {
			return
		}
		defer t.close()
		for range 20 {
			if t.ask("MAIL FROM:<>", fmt.Sprintf("RCPT TO:<%s%d@%s>", goneWord, a.next(), s.domain), "RSET") != 250 {
				return
			}
		}
	})
}

func (a *attacker) domains() { a.inDomains("d%d") }

func (a *attacker) silentDomains() { a.inDomains(silentPart + "%d") }

// inDomains has each recipient in a domain of its own.
func (a *attacker) inDomains(label string) {
	a.campaign(8, 5, a.own, func() (string, []string, string) {
		return "news@" + a.domain(), many(100, func(int) string { return fmt.Sprintf("r@"+label+".%s", a.next(), a.domain()) }), shortBody
	})
}

// body sends messages of its own making, by so many workers.
func (a *attacker) body(workers int, write func(w io.Writer) error) {
	a.spawn(workers, func() {
		t := a.open(a.own(), "msa."+a.domain())
		if t == nil {
			return
		}
		defer t.close()
		if t.ask("MAIL FROM:<news@"+a.domain()+">", "RCPT TO:<r@"+a.domain()+">", "DATA") != 354 || write(t.conn) != nil {
			return
		}
		_, _ = io.WriteString(t.conn, "\r\n.\r\n")
		t.read()
	})
}

func (a *attacker) hugeHeader() {
	header := "X-Long: " + strings.Repeat("x", 1<<16)
	a.body(4, func(w io.Writer) error {
		for range 80 {
			if _, err := io.WriteString(w, header[:1<<16]); err != nil {
				return err
			}
		}
		_, err := io.WriteString(w, "\r\n\r\n"+shortBody)
		return err
	})
}

func (a *attacker) bigBodies() {
	block := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1000)
	a.body(4, func(w io.Writer) error {
		for range 130 {
			if _, err := io.WriteString(w, block); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *attacker) heldBodies() {
	block := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1000)
	a.body(20, func(w io.Writer) error {
		for range 320 {
			if _, err := io.WriteString(w, block); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *attacker) quarterMegabytes() {
	text := shortBody + strings.Repeat("\r\n"+strings.Repeat("x", 70), 3400)
	a.body(300, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func (a *attacker) smuggling() {
	forms := []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r"}
	a.body(8, func(w io.Writer) error {
		_, err := io.WriteString(w, shortBody+forms[rand.IntN(len(forms))]+"MAIL FROM:<ceo@bank.example>\r\nRCPT TO:<r@gmail.com>\r\nDATA\r\nhello")
		return err
	})
}

// sixOf gives an address in the one /64 that the attacker has.
func (a *attacker) sixOf() netip.Addr {
	var b [16]byte
	b[0], b[1] = 0xfd, a.order.Via/10*16+a.order.Via%10
	b[5] = byte(100 + a.order.Kind)
	for i := 8; i < 16; i++ {
		b[i] = byte(rand.IntN(256))
	}
	return netip.AddrFrom16(b)
}
