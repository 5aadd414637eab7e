package daemon

import (
	"errors"
	"os/user"
	"strconv"

	"kanmon/internal/admin"
	"kanmon/internal/config"
)

// boundView says on the admin socket which user speaks for the persons who use the page, and how far that goes. A user that this host does not
// have speaks for nobody.
func (d *Daemon) boundView(cfg *config.Config) {
	if d.operators == nil {
		return
	}
	may := map[config.WebRole]admin.May{config.WebLook: admin.MayLook, config.WebSearch: admin.MaySearch, config.WebAct: admin.MayAct}[cfg.Web.May]
	d.operators.SetView(d.numberOf(cfg.Web.User), cfg.Web.User, may)
}

// numberOf is that of a user of this host; -1: there is none.
func (d *Daemon) numberOf(name string) int64 {
	u, err := user.Lookup(name)
	if err != nil {
		if number, wrong := strconv.ParseUint(name, 10, 32); wrong == nil {
			return int64(number)
		}
		var unknown user.UnknownUserError
		if !errors.As(err, &unknown) {
			d.log.Warn("web.user cannot be looked up: nobody speaks for persons", "user", name, "error", err)
		}
		return -1
	}
	number, err := strconv.ParseInt(u.Uid, 10, 64)
	if err != nil {
		return -1
	}
	return number
}
