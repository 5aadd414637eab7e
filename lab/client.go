package main

import (
	"context"
	"fmt"
	"net"
	"net/textproto"
	"time"
)

// patience is how long a client waits for one mail to be taken.
const patience = 2 * time.Minute

// A door opens connections for a tenant's mail: to its MSA, or for a light submitter to the MX.
type door func() (net.Conn, error)

// A client is an SMTP session that submits mail. It is cut when its context ends.
type client struct {
	conn  net.Conn
	smtp  *textproto.Conn
	spare func() bool // from being cut
}

// connect opens a session up to EHLO. Close it, by quit or by cut.
func connect(ctx context.Context, open door) (*client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := open()
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, smtp: textproto.NewConn(conn), spare: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _, err = c.smtp.ReadResponse(220)
	if err == nil {
		err = c.ask(250, "EHLO client.example")
	}
	if err != nil {
		c.cut()
		return nil, err
	}
	return c, nil
}

// submit returns when the server has taken the mail or refused it.
func (c *client) submit(m *mail) error {
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	for _, step := range []struct {
		want int
		line string
	}{{250, "MAIL FROM:<" + m.from() + ">"}, {250, "RCPT TO:<" + m.to + ">"}, {354, "DATA"}} {
		if err := c.ask(step.want, step.line); err != nil {
			return err
		}
	}
	if _, err := c.conn.Write(append(m.message(), ".\r\n"...)); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	if _, _, err := c.smtp.ReadResponse(250); err != nil {
		return fmt.Errorf("reply to message: %w", err)
	}
	return nil
}

func (c *client) ask(want int, line string) error {
	if err := c.smtp.PrintfLine("%s", line); err != nil {
		return fmt.Errorf("send %.4s: %w", line, err)
	}
	if _, _, err := c.smtp.ReadResponse(want); err != nil {
		return fmt.Errorf("reply to %.4s: %w", line, err)
	}
	return nil
}

// quit ends the session; what the server says to it does not matter.
func (c *client) quit() {
	_ = c.ask(221, "QUIT")
	c.cut()
}

func (c *client) cut() {
	c.spare()
	_ = c.conn.Close()
}
