package main

import (
	"errors"
	"net"
	"net/smtp"
)

// clientRole makes this program a client itself: with Go's own net/smtp, in a process on the machine that is measured.
const clientRole = "client"

// runClient sends one mail: host, recipient, message.
func runClient(args []string) error {
	if len(args) != 3 {
		return errors.New("want a host, a recipient and a message")
	}
	return smtp.SendMail(net.JoinHostPort(args[0], "25"), nil, sender, []string{args[1]}, []byte(args[2]))
}
