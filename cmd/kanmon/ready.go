package main

import (
	"context"
	"fmt"
	"strings"
)

type readyCommand struct{ socketFlag }

// Help says what is asked.
func (*readyCommand) Help() string {
	return `It is for what leads mail to one of several gateways, such as keepalived or a BGP speaker, and may be asked each second: it answers within a second. A gateway is ready if kanmon runs and accepts connections, neither stops nor hands over, its firewall rules are in force, and mail can leave from at least one sending IP that is on this host, or floats. Else one line says why not.`
}

// Run says whether this gateway should get mail, by the exit code.
func (k *readyCommand) Run(c *console) error {
	client, _, err := k.client()
	if err == nil {
		err = client.Ready(context.Background())
	}
	if err == nil {
		_, err = fmt.Fprintln(c.stdout, "ready")
		return err
	}
	why, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintln(c.stdout, "not ready:", why)
	return exitStatus(exitError)
}
