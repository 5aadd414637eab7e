#!/bin/sh
# After the files are gone. A .deb is told "remove", "purge" or "upgrade VERSION"; an .rpm how many versions are left: 0, or 1.
set -e

[ ! -d /run/systemd/system ] || systemctl --system daemon-reload || true

case $1 in
remove | 0)
	rm -rf /run/kanmon /run/kanmon-rules
	echo "kanmon: these stay: /etc/kanmon (configuration), /var/lib/kanmon* (state), /var/log/kanmon (records of who wrote to whom)."
	;;
purge)
	deb-systemd-helper purge kanmon-history.service kanmon-view.service kanmon.socket kanmon.service kanmon-rules.service >/dev/null || true
	rm -f /etc/systemd/system/sockets.target.wants/kanmon.socket /etc/systemd/system/multi-user.target.wants/kanmon-history.service \
		/etc/systemd/system/multi-user.target.wants/kanmon-view.service # which a person has enabled
	echo "kanmon: purging /var/lib/kanmon, /var/lib/kanmon-rules, /var/lib/kanmon-view, /var/log/kanmon and /etc/kanmon/kanmon.toml"
	rm -rf /var/lib/kanmon /var/lib/kanmon-rules /var/lib/kanmon-view /var/log/kanmon
	rm -f /etc/kanmon/kanmon.toml /etc/kanmon/kanmon.toml.* /etc/kanmon/web-users
	# Keys and certificates are not the package's: it has not made them.
	if [ -d /etc/kanmon ] && ! rmdir /etc/kanmon 2>/dev/null; then
		echo "kanmon: left, because others have made them: $(find /etc/kanmon -mindepth 1 -maxdepth 1 | sort | tr '\n' ' ')"
	fi
	;;
esac
