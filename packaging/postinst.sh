#!/bin/sh
# After the files are there. A .deb is told "configure [OLD VERSION]"; an .rpm how many versions there are: 1 (new) or 2.
#
# Nothing that mail needs is started, stopped or restarted, and no firewall rule is touched: when a new version takes the mail
# is an operator's to choose.
set -e

case $1 in
configure | 1 | 2) ;;
*) exit 0 ;; # abort-…: what was there goes on as it was
esac

systemd-sysusers kanmon.conf
systemd-tmpfiles --create kanmon.conf || true

# Enabled at the first installation, later as the operator has left it. Without a configuration neither does anything.
for unit in kanmon.service kanmon-rules.service; do
	if [ "$1" = 1 ]; then
		systemctl --no-reload preset "$unit" >/dev/null 2>&1 || true
	elif [ "$1" = configure ]; then
		if deb-systemd-helper --quiet was-enabled "$unit"; then
			deb-systemd-helper enable "$unit" >/dev/null || true
		else
			deb-systemd-helper update-state "$unit" >/dev/null || true
		fi
	fi
done

# Units of an installation from source, or of an operator, come before the package's.
for unit in kanmon.service kanmon@.service kanmon-rules.service kanmon-rules-guard.service kanmon.socket kanmon-history.service kanmon-view.service; do
	for dir in /etc/systemd/system /usr/local/lib/systemd/system; do
		if [ -f "$dir/$unit" ] && [ ! -L "$dir/$unit" ]; then
			echo "kanmon: $dir/$unit hides the package's unit. If it is of an earlier installation, remove it."
		fi
	done
done

active() { [ -d /run/systemd/system ] && systemctl --quiet is-active "$1"; }

[ ! -d /run/systemd/system ] || systemctl --system daemon-reload || true

# No mail goes through it.
for unit in kanmon-history.service kanmon-view.service; do
	if active "$unit"; then
		systemctl restart "$unit" || true
	fi
done

runs=no
for unit in kanmon.service kanmon@2.service kanmon@3.service; do
	if active "$unit"; then runs=yes; fi
done
# Behind kanmon.socket the new version takes over, and mail notices nothing. If it does not come up, the one that runs goes on.
if [ "$runs" = yes ] && active kanmon.socket; then
	if kanmon upgrade; then
		echo "kanmon: for changed firewall rules: systemctl restart kanmon-rules"
	else
		echo "kanmon: the version that was running goes on running. When the cause is mended: kanmon upgrade"
	fi
elif [ "$runs" = yes ]; then
	echo "kanmon: the version that was running goes on running, with its sessions and firewall rules."
	echo "kanmon: when few sessions run, begin with the new one: systemctl restart kanmon kanmon-rules"
elif [ -e /etc/kanmon/kanmon.toml ]; then
	echo "kanmon: it does not run. To begin: kanmon check; systemctl start kanmon kanmon-rules (a boot does it, too)"
else
	echo "kanmon: installed and enabled, but not configured: nothing runs, no mail is touched."
	echo "kanmon: next: kanmon init (it writes /etc/kanmon/kanmon.toml); kanmon check; systemctl start kanmon kanmon-rules"
fi
