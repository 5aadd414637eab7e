package main

import (
	"context"
	"fmt"
	"os"
)

// Clients that are told a host. Each gets its message as it wants it.

func sendGo(ctx context.Context, m *machine, t target) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return m.run(ctx, "", self, clientRole, t.host(), "you@"+t.domain(), message(t))
}

func sendCurl(ctx context.Context, m *machine, t target) error {
	return m.run(ctx, message(t), "curl", "-sS", "smtp://"+t.host()+":25/"+machineName,
		"--mail-from", sender, "--mail-rcpt", "you@"+t.domain(), "--upload-file", "-", "--crlf")
}

func sendSwaks(ctx context.Context, m *machine, t target) error {
	return m.run(ctx, "", "swaks", "--server", t.host(), "--from", sender, "--to", "you@"+t.domain(), "--helo", machineName,
		"--header", "Subject: "+t.token())
}

func sendMsmtp(ctx context.Context, m *machine, t target) error {
	return m.run(ctx, message(t), "msmtp", "--host="+t.host(), "--port=25", "--from="+sender, "you@"+t.domain())
}

func sendEsmtp(ctx context.Context, m *machine, t target) error {
	file := "/etc/esmtp-" + t.token()
	config := fmt.Sprintf("hostname = %s:25\nstarttls = disabled\n", t.host())
	if err := m.image.Write(file, config); err != nil {
		return err
	}
	return m.run(ctx, message(t), "esmtp", "-C", file, "-f", sender, "you@"+t.domain())
}

func sendSnail(ctx context.Context, m *machine, t target) error {
	return m.run(ctx, "Hello.\n", "s-nail", "-:/", "-S", "mta=smtp://"+t.host()+":25", "-S", "smtp-auth=none",
		"-S", "hostname="+machineName, "-S", "from="+sender, "-r", sender, "-s", t.token(), "you@"+t.domain())
}

const (
	smtplibScript = `
import smtplib, sys
with smtplib.SMTP(sys.argv[1], 25) as s:
    s.sendmail(sys.argv[2], [sys.argv[3]], sys.stdin.read())
`
	aiosmtplibScript = `
import aiosmtplib, asyncio, sys
async def send():
    async with aiosmtplib.SMTP(hostname=sys.argv[1], port=25) as s:
        await s.sendmail(sys.argv[2], [sys.argv[3]], sys.stdin.read())
asyncio.run(send())
`
	nodemailerScript = `
const [host, from, to, raw] = process.argv.slice(1);
require('/opt/mtas/node_modules/nodemailer').createTransport({ host, port: 25, ignoreTLS: true })
  .sendMail({ envelope: { from, to: [to] }, raw }).catch((e) => { console.error(e); process.exit(1); });
`
)

func python(script string) func(context.Context, *machine, target) error {
	return func(ctx context.Context, m *machine, t target) error {
		return m.run(ctx, message(t), "/usr/bin/python3", "-c", script, t.host(), sender, "you@"+t.domain())
	}
}

func sendNodemailer(ctx context.Context, m *machine, t target) error {
	return m.run(ctx, "", "node", "-e", nodemailerScript, t.host(), sender, "you@"+t.domain(), message(t))
}
