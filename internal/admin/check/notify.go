package check

import (
	"fmt"
	"os"

	"kanmon/internal/config"
)

// notify: what keeps people from being told. Mail needs none of it.
func (c *checker) notify() {
	cfg := c.Config
	if !cfg.Notifies() {
		return
	}
	if !cfg.History.On {
		c.find(notifyWithoutHistory, c.firstChannel(), "nobody is told of anything: who tells hears what history hears, and there is no [history]", "")
	}
	if cfg.Intercept.Local {
		for i := range cfg.NotifyMails {
			if program := cfg.NotifyMails[i].Sendmail; program != "" {
				c.find(notifyThroughKanmon, fmt.Sprintf("notify_mail[%d].sendmail", i), fmt.Sprintf("what %s sends to port 25 of others goes through kanmon, as all mail of this host: a message about mail that waits may wait with it", program), "")
			}
		}
	}
	const files = "the files of [[notify_webhook]] and [[notify_mail]]"
	u, err := c.Host.FindUser(config.ViewUser)
	if err != nil {
		c.unchecked(files, fmt.Sprintf("there is no user %s, whom its services run as (systemd-sysusers makes it): %v", config.ViewUser, err))
		return
	}
	c.seeingAs(files, "its services run", u, func(u User) {
		for i := range cfg.NotifyWebhooks {
			c.notifyReads(u, fmt.Sprintf("notify_webhook[%d].secret_file", i), cfg.NotifyWebhooks[i].SecretFile)
		}
		for i := range cfg.NotifyMails {
			c.notifyReads(u, fmt.Sprintf("notify_mail[%d].password_file", i), cfg.NotifyMails[i].PasswordFile)
			c.notifyReads(u, fmt.Sprintf("notify_mail[%d].sendmail", i), cfg.NotifyMails[i].Sendmail)
		}
	})
}

func (c *checker) firstChannel() string {
	if len(c.Config.NotifyWebhooks) > 0 {
		return "notify_webhook[0]"
	}
	return "notify_mail[0]"
}

func (c *checker) notifyReads(u User, key, path string) {
	if path == "" {
		return
	}
	f, err := os.Open(path)
	if err == nil {
		_ = f.Close()
		return
	}
	c.find(notifyUnreadable, key, fmt.Sprintf("%s cannot be read by user %s: %s", path, u.Name, errorOf(err)), fmt.Sprintf("chgrp kanmon-view %s && chmod 0640 %s", path, path))
}
