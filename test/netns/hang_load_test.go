package netns

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/textproto"
	"time"

	"kanmon/test/netlab"
)

// A timedMSA is an MSA that takes the time.
type timedMSA struct {
	*textproto.Reader
	net.Conn
}

func (r *hangRig) connect(tenant int) (timedMSA, error) {
	conn, err := r.world.MSAs[tenant].Dial(netip.AddrPortFrom(netlab.MXAddr(tenant+1, false), 25).String(), 5*time.Second)
	if err != nil {
		return timedMSA{}, err
	}
	c := timedMSA{textproto.NewReader(bufio.NewReader(conn)), conn}
	_ = conn.SetDeadline(time.Now().Add(hangPatience))
	if _, _, err = c.ReadResponse(2); err == nil {
		_, err = c.say("EHLO msa.example", 2)
	}
	return c, err
}

// say sends a command and gives the time that its reply took.
func (c timedMSA) say(line string, class int) (took time.Duration, err error) {
	begun := time.Now()
	_ = c.SetDeadline(begun.Add(hangPatience))
	if _, err = c.Write([]byte(line + "\r\n")); err == nil {
		_, _, err = c.ReadResponse(class)
	}
	return time.Since(begun), err
}

// mail sends one mail and gives the times of MAIL, RCPT and the dot.
func (c timedMSA) mail(from, to string) (took [3]time.Duration, err error) {
	if took[0], err = c.say("MAIL FROM:<"+from+">", 2); err != nil {
		return took, err
	}
	if took[1], err = c.say("RCPT TO:<"+to+">", 2); err != nil {
		return took, err
	}
	if _, err = c.say("DATA", 3); err != nil {
		return took, err
	}
	took[2], err = c.say("Subject: hello\r\n\r\ntext\r\n.", 2)
	return took, err
}

// load lets the tenants send until endLoad.
func (r *hangRig) load() {
	for tenant := 1; tenant <= 2; tenant++ {
		for worker := range hangWorkers {
			r.mails.Go(func() { r.steady(tenant, worker) })
		}
	}
	for range 2 {
		r.mails.Go(r.busy)
	}
}

// steady sends mail after mail on one connection.
func (r *hangRig) steady(tenant, worker int) {
	c, err := r.connect(tenant)
	for n := 0; err == nil && !r.isOver(); n++ {
		var took [3]time.Duration
		took, err = c.mail(fmt.Sprintf("user%d@t%d.example", worker, tenant), fmt.Sprintf("reader%d@%s", n, netlab.Domain(tenant+1, false)))
		if err != nil {
			break
		}
		r.told.Add(1)
		r.mu.Lock()
		if r.sampled != nil {
			for i := range took {
				r.sampled[i] = append(r.sampled[i], took[i])
			}
		}
		r.mu.Unlock()
	}
	if err != nil {
		r.t.Errorf("mail of tenant %d: %v", tenant+1, err)
		return
	}
	_, _ = c.say("QUIT", 2)
	_ = c.Close()
}

// busy sends mail of ever new accounts to ever new domains, until each account is blocked. What becomes of it does not matter.
func (r *hangRig) busy() {
	for !r.isOver() {
		c, err := r.connect(0)
		account := rand.Uint64()
		for range 8 {
			if err == nil && !r.isOver() {
				_, err = c.mail(fmt.Sprintf("u%d@one.example", account), fmt.Sprintf("x@d%d.example", rand.Uint64()))
			}
			if refused := (*textproto.Error)(nil); errors.As(err, &refused) {
				_, err = c.say("RSET", 2)
			}
		}
		if c.Conn != nil {
			_ = c.Close()
		}
	}
}

func (r *hangRig) isOver() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

func (r *hangRig) endLoad() {
	close(r.over)
	r.mails.Wait()
}
