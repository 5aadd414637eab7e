#!/bin/sh
# Before the files go. A .deb is told "remove" or "upgrade VERSION"; an .rpm how many versions will be left: 0, or 1.
#
# An upgrade leaves all as it is. Who removes the package wants the direct way: the firewall rules go first, so that no
# connection is sent to where nobody is, then kanmon, which lets its sessions finish.
set -e

case $1 in
remove | 0) ;;
*) exit 0 ;; # upgrade, deconfigure, failed-upgrade; 1
esac

systemd_runs() { [ -d /run/systemd/system ]; }
in_force() { nft list table inet kanmon >/dev/null 2>&1; }

was_in_force=no
in_force && was_in_force=yes

if systemd_runs; then
	systemctl stop kanmon-rules.service || true
fi
# Rules that were loaded by hand, or by kanmon itself; the second way needs nothing but nft. It is no person's word against rules: it
# holds until a service applies them again.
if in_force; then
	kanmon rules remove --unit kanmon-rules.service || nft delete table inet kanmon || true
fi
if in_force; then
	echo "kanmon: the firewall rules (nft list table inet kanmon) cannot be removed. With them, and without kanmon, no mail" >&2
	echo "kanmon: would leave at all, so the package stays. Remove them, then try again." >&2
	exit 1
fi
if [ "$was_in_force" = yes ]; then
	echo "kanmon: THE DIRECT WAY IS OPEN: the firewall rules are removed; mail now leaves past kanmon, from other addresses."
fi

if systemd_runs; then
	systemctl stop kanmon-history.service kanmon-view.service || true
	systemctl stop kanmon.socket || true
	if systemctl --quiet is-active kanmon.service kanmon@2.service kanmon@3.service; then
		echo "kanmon: waiting for sessions to finish; this may take as long as [drain] timeout, 15 minutes by default."
		echo "kanmon: to cut them: systemctl kill --kill-who=main kanmon"
	fi
	systemctl stop kanmon.service kanmon@2.service kanmon@3.service
	if [ "$1" = 0 ]; then
		systemctl --no-reload disable kanmon-history.service kanmon-view.service kanmon.socket kanmon.service kanmon-rules.service >/dev/null 2>&1 || true
	fi
fi
# A kanmon with manage_rules may have put its rules back until it stopped.
if in_force; then
	kanmon rules remove --unit kanmon-rules.service || nft delete table inet kanmon
fi
