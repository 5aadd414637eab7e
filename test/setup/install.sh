#!/bin/sh
# Makes ready what the namespace tests, the demo and the benchmarks run, on Debian and Ubuntu, as root.
#
#   test/setup/install.sh          what `make test` and `make demo` need; keepalived; for the page a Chromium, axe-core, and a Japanese font; scanners of content; Exim
#   test/setup/install.sh bench    and what `make bench` needs besides
#   test/setup/install.sh mtas     and the MTAs and clients that `make mtas` measures
#   test/setup/install.sh parity   and those of them that are MXs of `make tls-parity`
#   test/setup/install.sh scanners only what `make scanners` needs
#   test/setup/install.sh systemd  and the Debian that `make test-systemd` boots
#   test/setup/install.sh packages only that Debian, and what `make test-packages` judges packages with
#
# The host stays as it is. Only plain tools (nftables, iproute2, openssl, ca-certificates) are installed, and only
# where they are missing. Servers never are: installing Postfix would remove the host's own MTA, and every server
# package starts a service or adds a user. They are downloaded and unpacked into a private folder, with those of
# their libraries that the host lacks, and run from there:
#
#   $KANMON_TEST_CACHE, or $XDG_CACHE_HOME/kanmon-test, or /var/cache/kanmon-test
#
# MTAs that `make mtas` measures, and scanners, are installed as their packages want it, each on a file system of its own that lies
# over the host's: what is written goes to $cache/mtas/NAME, the host's files stay as they are. The Debian that is booted is a root
# folder of its own, $cache/debian12, made by debootstrap; what a boot writes goes elsewhere.
#
# Running it again costs nothing when everything is there.
set -eu
umask 022 # what is unpacked is run under other users too

cache=${KANMON_TEST_CACHE:-${XDG_CACHE_HOME:-/var/cache}/kanmon-test}

main() {
	groups="lab dns vrrp monitoring database web axe fonts scanners exim"
	case "${1:-}" in
	"") ;;
	bench) groups="lab bench" ;;
	mtas | parity | scanners) groups="lab $1" ;;
	packages) groups="systemd judges" ;;
	systemd) groups="lab systemd" ;;
	*) die "unknown group \"$1\"; known: bench, mtas, packages, parity, scanners, systemd" ;;
	esac

	command -v apt-get >/dev/null || die "this script knows Debian and Ubuntu only: no apt-get here"
	if all_ready "$groups"; then
		return 0
	fi
	[ "$(id -u)" -eq 0 ] || die "must run as root"

	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock 9
	host_tools "$groups"
	for group in $groups; do
		if has_images "$group"; then
			images "$group"
		elif [ "$group" = systemd ]; then
			debian
		elif [ "$group" = axe ]; then
			axe
		elif [ "$group" = fonts ]; then
			fonts
		elif ! ready "$group"; then
			# shellcheck disable=SC2046 # the packages are words
			unpack "$group" $(packages_of "$group")
			ready "$group" || die "the $group tools do not run from $cache/$group: $(broken "$group")"
		fi
	done
}

packages_of() {
	case $1 in
	lab) echo postfix dnsmasq-base ;;
	dns) echo unbound nsd ldnsutils ;;
	vrrp) echo keepalived iputils-ping ;;
	monitoring) echo prometheus ;;
	database) echo "postgresql-$(postgresql) postgresql-client-$(postgresql)" ;;
	web) echo chromium fonts-dejavu-core ;;
	bench) echo haproxy nginx ;;
	esac
}

# The programs of a group, each with an argument that makes it say its version and end.
programs_of() {
	case $1 in
	lab) printf '%s\n' "usr/sbin/postconf -dh mail_version" "usr/sbin/dnsmasq --version" ;;
	dns) printf '%s\n' "usr/sbin/unbound -V" "usr/sbin/nsd -v" "usr/bin/ldns-keygen -v" ;;
	vrrp) printf '%s\n' "usr/sbin/keepalived --version" "bin/ping -V" ;;
	monitoring) printf '%s\n' "usr/bin/promtool --version" ;;
	database) printf '%s\n' "usr/lib/postgresql/$(postgresql)/bin/postgres --version" "usr/lib/postgresql/$(postgresql)/bin/initdb --version" "usr/lib/postgresql/$(postgresql)/bin/psql --version" ;;
	web) printf '%s\n' "usr/lib/chromium/chromium --version" ;;
	bench) printf '%s\n' "usr/sbin/haproxy -v" "usr/sbin/nginx -v" ;;
	esac
}

# The version of PostgreSQL that the distribution has; that of Debian 12 where it does not say.
postgresql() {
	version=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	echo "${version:-15}"
}

all_ready() {
	[ -z "$(missing_host_packages "$1")" ] || return 1
	for g in $1; do
		if has_images "$g"; then
			[ -z "$(missing_images "$g")" ] || return 1
		elif [ "$g" = systemd ]; then
			has_debian || return 1
		elif [ "$g" = axe ]; then
			has_axe || return 1
		elif [ "$g" = fonts ]; then
			has_fonts || return 1
		else
			ready "$g" || return 1
		fi
	done
}

# A group is ready when its programs run: after an upgrade of the host a library may be missing again.
ready() {
	[ -z "$(broken "$1")" ]
}

broken() {
	programs_of "$1" | while read -r program arguments; do
		# shellcheck disable=SC2086 # the arguments are words
		LD_LIBRARY_PATH=$(libraries "$1") "$cache/$1/$program" $arguments >/dev/null 2>&1 || echo "$program"
	done
}

libraries() {
	printf '%s' "$cache/$1/usr/lib/postfix"
	for dir in "$cache/$1"/usr/lib/*-linux-gnu* "$cache/$1"/lib/*-linux-gnu* "$cache/$1"/usr/lib/*-linux-gnu*/pulseaudio; do
		[ ! -d "$dir" ] || printf ':%s' "$dir"
	done
}

# missing_host_packages GROUPS lists what the host lacks for them. The judges of packages are plain tools, too.
missing_host_packages() {
	case " $1 " in
	*" judges "*)
		for tool in lintian rpmlint rpm cpio shellcheck buildah; do
			command -v "$tool" >/dev/null || echo "$tool"
		done
		;;
	esac
	case " $1 " in
	*" axe "*) has_axe || command -v npm >/dev/null || echo npm ;;
	esac
	command -v nft >/dev/null || echo nftables
	command -v ip >/dev/null || echo iproute2
	command -v openssl >/dev/null || echo openssl
	[ -d /etc/ssl/certs ] || echo ca-certificates
}

host_tools() {
	missing=$(missing_host_packages "$1")
	[ -n "$missing" ] || return 0
	say "installing" $missing
	# None of these packages starts a service of its own; --no-install-recommends keeps it so.
	# shellcheck disable=SC2086 # the packages are words
	with_lists quiet env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
		install -y --no-install-recommends $missing
}

# unpack GROUP PACKAGE... puts the packages, and what they depend on that the host lacks, into the group's folder.
unpack() {
	group=$1
	shift
	say "unpacking $* into $cache/$group"
	new=$cache/$group.new
	rm -rf "$new"
	mkdir -p "$new/deb" "$new/root"
	with_lists resolvable "$@"
	# shellcheck disable=SC2046 # the packages are words
	(cd "$new/deb" && with_lists quiet apt-get -o APT::Sandbox::User=root download $(wanted "$group" "$@"))
	for deb in "$new"/deb/*.deb; do
		dpkg-deb -x "$deb" "$new/root"
	done
	# Postfix refuses to start programs that others than root could have written.
	chown -R root:root "$new/root"
	chmod 755 "$new/root"
	rm -rf "${cache:?}/$group"
	mv "$new/root" "$cache/$group"
	rm -rf "$new"
}

# wanted GROUP PACKAGE... lists what is to be unpacked. promtool is one static program: it needs nothing of what its server does.
wanted() {
	group=$1
	shift
	case $group in
	monitoring) printf '%s\n' "$@" ;;
	*) closure "$@" ;;
	esac
}

# closure PACKAGE... lists the packages themselves and every package that apt would install with them. Apt is only
# asked what it would do (-s): what it would remove, such as another MTA, does not matter.
closure() {
	{
		printf '%s\n' "$@"
		apt-get install -s --no-install-recommends "$@" 2>/dev/null | sed -n 's/^Inst \([^ ]*\) .*/\1/p'
	} | sort -u
}

# has_images GROUP says whether a group is of images.
has_images() {
	case $1 in
	mtas | parity | scanners | exim) ;;
	*) return 1 ;;
	esac
}

# The images, each with the packages in it. Those from npm are marked. The group parity has some of those of mtas, scanners one of its own.
images_of_mtas() {
	cat <<-'END'
		exim exim4-daemon-light
		sendmail sendmail-bin sendmail-cf
		opensmtpd opensmtpd
		courier courier-mta
		dma dma
		clients curl swaks libio-socket-inet6-perl msmtp esmtp s-nail python3 python3-aiosmtplib
		node npm:Haraka@3.3.4 npm:nodemailer@7
		scanners rspamd clamav-daemon opendkim opendkim-tools miltertest python3 python3-milter
	END
}

missing_images() {
	images_of_mtas | while read -r image packages; do
		case $1:$image in
		mtas:scanners) continue ;;
		mtas:* | parity:exim | parity:sendmail | scanners:scanners | exim:exim) ;;
		*) continue ;;
		esac
		[ "$(cat "$cache/mtas/$image/made-of" 2>/dev/null)" = "$packages" ] || echo "$image"
	done
}

images() {
	for image in $(missing_images "$1"); do
		packages=$(images_of_mtas | sed -n "s/^$image //p")
		say "installing $packages into $cache/mtas/$image"
		new=$cache/mtas.new
		rm -rf "$new"
		mkdir -p "$new/upper" "$new/work" "$new/root" "$cache/mtas"
		# shellcheck disable=SC2016 # expanded by the inner shell
		quiet unshare -m sh -euc '
			mount --make-rprivate /
			mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
			mount --rbind /dev "$1/root/dev"
			mount -t proc proc "$1/root/proc"
			mount -t tmpfs tmpfs "$1/root/tmp"
			root=$1/root
			shift
			printf "#!/bin/sh\nexit 101\n" >"$root/usr/sbin/policy-rc.d" # no package starts its service
			chmod 755 "$root/usr/sbin/policy-rc.d"
			exec chroot "$root" sh -euc "$0" install "$@"
		' "$install_in_image" "$new" $packages || die "the image $image cannot be made: $packages"
		rm -f "$new/upper/usr/sbin/policy-rc.d"
		echo "$packages" >"$new/made-of"
		rm -rf "${cache:?}/mtas/$image" "$new/work" "$new/root"
		mv "$new" "$cache/mtas/$image"
	done
	missing=$(missing_images "$1")
	[ -z "$missing" ] || die "missing images:" $missing
}

# What runs inside of an image, with the packages as arguments.
install_in_image='
	apt="apt-get -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300"
	debs= npms=
	for package; do
		case $package in
		npm:*) npms="$npms ${package#npm:}" ;;
		*) debs="$debs $package" ;;
		esac
	done
	export DEBIAN_FRONTEND=noninteractive
	[ -z "$npms" ] || command -v npm >/dev/null || debs="$debs nodejs npm"
	[ -z "$debs" ] || { $apt update; $apt install -y --no-install-recommends $debs; $apt clean; rm -rf /var/lib/apt/lists; }
	[ -z "$npms" ] || npm install --cache /tmp/npm --prefix /opt/mtas --ignore-scripts --no-audit --no-fund $npms
'

# The packages of the Debian that is booted, besides the smallest base.
debian_packages=systemd,systemd-sysv,libpam-systemd,dbus,nftables,iproute2,procps,netbase,firewalld,logrotate,jq,zsh,fish

has_debian() {
	command -v systemd-nspawn >/dev/null && [ "$(cat "$cache/debian12/made-of" 2>/dev/null)" = "$debian_packages" ]
}

debian() {
	! has_debian || return 0
	with_lists quiet env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
		install -y --no-install-recommends debootstrap systemd-container
	say "installing Debian 12 into $cache/debian12"
	new=$cache/debian12.new
	rm -rf "$new"
	# In mounts of its own: what debootstrap mounts goes with them.
	quiet unshare -m debootstrap --variant=minbase --include="$debian_packages" bookworm "$new" || die "Debian cannot be installed into $new"
	rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/*
	: >"$new/etc/machine-id"
	echo "$debian_packages" >"$new/made-of"
	rm -rf "${cache:?}/debian12"
	mv "$new" "$cache/debian12"
}

# axe-core looks for what keeps people from using a page. It is pinned, and no part of kanmon.
axe_version=4.14.1
axe_sha512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5

has_axe() { [ -f "$cache/axe/axe-$axe_version.js" ]; }

axe() {
	! has_axe || return 0
	say "fetching axe-core $axe_version into $cache/axe"
	new=$cache/axe.new
	rm -rf "$new"
	mkdir -p "$new"
	(cd "$new" && quiet npm pack --cache "$new/npm" "axe-core@$axe_version") || die "axe-core cannot be fetched"
	echo "$axe_sha512  $new/axe-core-$axe_version.tgz" | sha512sum --check --quiet || die "axe-core is not the one that is pinned"
	tar -xzf "$new/axe-core-$axe_version.tgz" -C "$new" package/axe.min.js
	rm -rf "${cache:?}/axe"
	mkdir "$cache/axe"
	mv "$new/package/axe.min.js" "$cache/axe/axe-$axe_version.js"
	rm -rf "$new"
}

# Japanese texts of pages are looked at in pictures: without a font that has them they are boxes.
has_fonts() { [ -f "$cache/fonts/usr/share/fonts/opentype/ipafont-gothic/ipag.ttf" ]; }

fonts() {
	! has_fonts || return 0
	unpack fonts fonts-ipafont-gothic
	has_fonts || die "fonts-ipafont-gothic has not the font that was expected"
}

resolvable() {
	apt-get install -s --no-install-recommends "$@" >/dev/null 2>&1
}

# with_lists COMMAND... runs the command and, if it fails, once more with fresh package lists.
with_lists() {
	"$@" 2>/dev/null && return 0
	say "fetching package lists"
	quiet apt-get update || die "apt-get update failed"
	"$@" || die "failed: $*"
}

quiet() {
	output=$("$@" 2>&1) || {
		printf '%s\n' "$output" >&2
		return 1
	}
}

say() { echo "setup: $*"; }

die() {
	echo "setup: $*" >&2
	exit 1
}

main "$@"
