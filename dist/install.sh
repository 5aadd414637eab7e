#!/bin/sh
# Installs kanmon from this tree (after "make build") or from an unpacked release, or takes away what it installed.
#
#   dist/install.sh install | uninstall | list
#
# From the environment: PREFIX (/usr/local), DESTDIR (for packages: what is put before every path), SYSCONFDIR (/etc),
# BUILT (another folder with kanmon, man and completion than the one here), KANMON (another program). "list" says what
# would be installed where.
#
# What an operator has changed is never written over. The configuration is no file of kanmon's at all: a person writes
# it, and only a person changes it.
set -eu
umask 022

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
SYSCONFDIR=${SYSCONFDIR:-/etc}

# What was built stands in build in a source tree, and at the top of a release.
cd "$(dirname "$0")/.."
built=.
[ ! -d build ] || built=build
built=${BUILT:-$built}
program=${KANMON:-$built/kanmon}

bin=$PREFIX/bin
doc=$PREFIX/share/doc/kanmon
man=$PREFIX/share/man
units=$PREFIX/lib/systemd/system
# systemd looks for these in /etc and /usr/lib alone.
case $PREFIX in
/usr) drop=/usr/lib ;;
*) drop=$SYSCONFDIR ;;
esac

# files prints what there is to install: kind, mode, source, target. The kinds: file, unit (it names the program's
# path), and own, which an operator may change.
files() {
	echo file 755 "$program" "$bin/kanmon"
	for unit in dist/systemd/*; do
		echo unit 644 "$unit" "$units/${unit##*/}"
	done
	echo file 644 dist/sysusers.d/kanmon.conf "$drop/sysusers.d/kanmon.conf"
	echo file 644 dist/tmpfiles.d/kanmon.conf "$drop/tmpfiles.d/kanmon.conf"
	echo own 644 dist/logrotate.d/kanmon "$SYSCONFDIR/logrotate.d/kanmon"
	if [ -d "$DESTDIR$SYSCONFDIR/needrestart" ]; then
		echo own 644 dist/needrestart/kanmon.conf "$SYSCONFDIR/needrestart/conf.d/kanmon.conf"
	fi
	echo file 644 dist/kanmon.toml "$doc/examples/kanmon.toml"
	echo file 644 dist/site.toml "$doc/examples/site.toml"
	for example in dist/prometheus/*.yml dist/grafana/*.json dist/proxy/*.conf dist/shipping/*; do
		echo file 644 "$example" "$doc/examples/${example#dist/}"
	done
	for page in README.md CHANGELOG.md CONTRIBUTING.md LICENSE; do
		echo file 644 "$page" "$doc/$page"
	done
	# All of them, with their pictures and figures: the pages lead from one to the other.
	(cd docs && find . -type f | sort) | while read -r page; do
		echo file 644 "docs/$page" "$doc/docs/${page#./}"
	done
	for page in "$built"/man/*.[1-8]; do
		[ ! -f "$page" ] || echo file 644 "$page" "$man/man${page##*.}/${page##*/}"
	done
	completion kanmon.bash bash-completion/completions/kanmon
	completion _kanmon zsh/site-functions/_kanmon
	completion kanmon.fish fish/vendor_completions.d/kanmon.fish
}

completion() {
	[ ! -f "$built/completion/$1" ] || echo file 644 "$built/completion/$1" "$PREFIX/share/$2"
}

# changed KIND SOURCE FILE: whether an operator has made the file another one.
changed() {
	[ "$1" = own ] && [ -e "$3" ] && ! cmp -s "$2" "$3"
}

install_all() {
	[ -x "$program" ] || die "there is no program $program: make build"
	files | while read -r kind mode source target; do
		file=$DESTDIR$target
		if changed "$kind" "$source" "$file"; then
			echo "kept as it is: $file (the new one: $source)"
			continue
		fi
		[ -d "${file%/*}" ] || mkdir -p "${file%/*}"
		# Beside it, then in its place: a program that runs goes on with the file that it was started from.
		if [ "$kind" = unit ]; then
			sed "s|/usr/local/bin/kanmon|$bin/kanmon|g; s|/usr/share/doc/kanmon|$doc|g" "$source" >"$file.new"
			chmod "$mode" "$file.new"
		else
			install -m "$mode" "$source" "$file.new"
		fi
		mv -f "$file.new" "$file"
	done
	[ -n "$DESTDIR" ] || next
}

next() {
	cat <<-END
		kanmon is installed in $PREFIX. systemd has to be told:

		    systemd-sysusers && systemd-tmpfiles --create; systemctl daemon-reload

	END
	if [ -e "$SYSCONFDIR/kanmon/kanmon.toml" ]; then
		echo "The configuration stays as it is. When few sessions run: systemctl restart kanmon kanmon-rules"
	else
		echo "Then, to write $SYSCONFDIR/kanmon/kanmon.toml and begin:"
		echo
		echo "    kanmon init; kanmon check; systemctl enable --now kanmon kanmon-rules"
	fi
}

uninstall_all() {
	if [ -z "$DESTDIR" ] && nft list table inet kanmon >/dev/null 2>&1; then
		die "the firewall rules are in force, and without kanmon nobody would take the mail: systemctl disable --now kanmon-rules, then again"
	fi
	files | while read -r kind _ source target; do
		file=$DESTDIR$target
		if changed "$kind" "$source" "$file"; then
			echo "kept, since it was changed: $file"
		else
			rm -f "$file"
		fi
	done
	rm -rf "$DESTDIR${doc:?}"
	[ -n "$DESTDIR" ] || echo "kanmon is uninstalled. These stay: $SYSCONFDIR/kanmon, /var/lib/kanmon, /var/lib/kanmon-view, /var/log/kanmon, the users kanmon and kanmon-view."
}

die() {
	echo "install.sh: $*" >&2
	exit 1
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
list) files | while read -r _ mode _ target; do echo "$mode $target"; done ;;
*) die "say install, uninstall or list" ;;
esac
