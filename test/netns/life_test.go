package netns

import (
	"bytes"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// TestDrain stops kanmon in the middle of a message of 50 MB: the message arrives, the next one is put off, and kanmon ends.
func TestDrain(t *testing.T) {
	world, mx := newWorld(t, 1)
	kanmon := startKanmon(t, world, forwardedRedirect, sendingIPs)
	conn, err := world.MSAs[0].Dial(netlab.MXAddr(1, false).String()+":25", 5*time.Second)
	must(t, err)
	client := newClient(t, conn)
	client.begin(t, "drained@v4.mx1.example")

	message := append([]byte("Subject: drain\r\n\r\n"), largeBody(50<<20)...)
	// The client stands for an MSA, which puts a Received field on top.
	wire := append([]byte("Received: by client.example\r\n"), bytes.ReplaceAll(message, []byte("\r\n."), []byte("\r\n.."))...)
	half := len(wire) / 2
	client.write(t, wire[:half])
	must(t, kanmon.Terminate())
	eventually(t, "kanmon no longer listens", func() bool {
		other, err := world.MSAs[0].Dial(netlab.MXAddr(1, false).String()+":25", time.Second)
		if err != nil {
			return true
		}
		_ = other.SetDeadline(time.Now().Add(time.Second))
		first := make([]byte, 3)
		_, _ = other.Read(first)
		_ = other.Close()
		return string(first) == "421"
	})
	client.write(t, wire[half:])
	reply := client.command(t, ".", 250)
	id := reply[strings.LastIndex(reply, " ")+1:]
	stored, err := mx.WaitStored(t.Context(), id)
	must(t, err)
	if !bytes.Equal(stored.Message, message) {
		t.Errorf("the message arrived changed: %s", difference(stored.Message, message))
	}
	if reply, _ := client.try("MAIL FROM:<next@msa1.example>"); !strings.HasPrefix(reply, "421 ") && reply != "" {
		t.Errorf("the next MAIL was answered %q, want 421", reply)
	}
	select {
	case <-kanmon.Done():
	case <-time.After(10 * time.Second):
		t.Error("kanmon did not end after the last transaction")
	}
	if err := kanmon.Stop(time.Second); err != nil {
		t.Errorf("kanmon ended with %v", err)
	}
}

// TestReload changes the sending IPs while kanmon runs. A configuration that is wrong changes nothing.
func TestReload(t *testing.T) {
	world, mx := newWorld(t, 1)
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := startKanmon(t, world, forwardedRedirect, sendingIPs)
	send := func(local, from string) {
		t.Helper()
		for _, family := range families {
			_, stored := deliver(t, msa, mx, note(local, netlab.Domain(1, family.v6)))
			expectReceived(t, stored, "from "+from+" ")
		}
	}
	send("before", netlab.SendingName)

	must(t, kanmon.Configure(forwardedRedirect+otherSendingIPs))
	must(t, kanmon.Reload())
	eventually(t, "a line about the reload", func() bool { return strings.Contains(kanmon.Log(), "reload") })
	send("after", netlab.OtherSendingName)

	length := len(kanmon.Log())
	must(t, kanmon.Configure(forwardedRedirect+sendingIPs+"\n[nonsense]\n"))
	must(t, kanmon.Reload())
	eventually(t, "an error about the wrong configuration", func() bool {
		return strings.Contains(kanmon.Log()[length:], "nonsense")
	})
	send("still", netlab.OtherSendingName)
}

// A client speaks SMTP as slowly as a test needs it.
type client struct {
	conn net.Conn
	text *textproto.Conn
}

func newClient(t *testing.T, conn net.Conn) *client {
	t.Helper()
	must(t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	c := &client{conn: conn, text: textproto.NewConn(conn)}
	t.Cleanup(func() { _ = conn.Close() })
	_, _, err := c.text.ReadResponse(220)
	must(t, err)
	return c
}

// begin opens a transaction up to the 354.
func (c *client) begin(t *testing.T, recipient string) {
	t.Helper()
	c.command(t, "EHLO client.example", 250)
	c.command(t, "MAIL FROM:<sender@client.example> BODY=8BITMIME", 250)
	c.command(t, "RCPT TO:<"+recipient+">", 250)
	c.command(t, "DATA", 354)
}

func (c *client) command(t *testing.T, line string, want int) string {
	t.Helper()
	must(t, c.text.PrintfLine("%s", line))
	_, reply, err := c.text.ReadResponse(want)
	must(t, err)
	return reply
}

// try sends a command and gives the first line of the reply, or nothing if the connection is closed.
func (c *client) try(line string) (string, error) {
	if err := c.text.PrintfLine("%s", line); err != nil {
		return "", err
	}
	return c.text.ReadLine()
}

func (c *client) write(t *testing.T, octets []byte) {
	t.Helper()
	_, err := c.conn.Write(octets)
	must(t, err)
}
