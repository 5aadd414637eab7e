#!/bin/bash
# Builds what is published of kanmon into build/packages: for each architecture a .deb, an .rpm, a tarball and a bill of
# materials (CycloneDX), and over all of it SHA256SUMS.
#
# The same commit and the same Go give the same octets, wherever and whenever: times are the commit's, files belong to
# root, names are sorted, no path of the building machine is in them.
#
# From the environment: VERSION (what version.sh says), ARCHES (amd64 arm64), FORMATS (deb rpm tar sbom), OUT,
# SOURCE_DATE_EPOCH (the commit's time), MAINTAINER and HOMEPAGE (of who publishes).
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
cd "$(dirname "$0")/.."

main() {
	VERSION=${VERSION:-$(packaging/version.sh)}
	SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
	MAINTAINER=${MAINTAINER:-kanmon maintainers <maintainers@kanmon.example>}
	HOMEPAGE=${HOMEPAGE:-}
	export VERSION SOURCE_DATE_EPOCH MAINTAINER HOMEPAGE
	out=$(realpath -m "${OUT:-build/packages}")
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT

	rm -rf "$out"
	mkdir -p "$out"
	packaging/copyright.sh >"$work/copyright"
	# Manual and completion come from the program, the one of this machine.
	quiet make --no-print-directory man BUILD="$work/made" VERSION="$VERSION"
	for arch in ${ARCHES:-amd64 arm64}; do
		build "$arch"
	done
	(cd "$out" && sha256sum -- kanmon* >SHA256SUMS)
	echo "in $out:"
	(cd "$out" && ls -s --block-size=K)
}

build() {
	export ARCH=$1 STAGE=$work/$1/stage
	program=$work/$1/kanmon
	CGO_ENABLED=0 GOOS=linux GOARCH=$1 go build -trimpath -buildvcs=auto \
		-ldflags "-s -w -X main.release=$VERSION" -o "$program" ./cmd/kanmon
	stage
	for format in ${FORMATS:-deb rpm tar sbom}; do
		case $format in
		deb | rpm) package "$format" ;;
		tar) tarball ;;
		sbom) materials ;;
		esac
	done
}

package() {
	{
		cat packaging/nfpm.yaml
		documents "$DOC/rpm" /usr/share/doc/kanmon
		documents "$DOC/man" /usr/share/man
	} >"$work/nfpm.yaml"
	quiet nfpm package --config "$work/nfpm.yaml" --packager "$1" --target "$out"
}

# documents FOLDER PLACE names each file of a folder as a document of an .rpm.
documents() {
	find "$1" -type f -printf '%P\n' | sort | while read -r page; do
		echo "  - {src: '$1/$page', dst: '$2/$page', type: doc, packager: rpm}"
	done
}

# materials asks the program what is in it; the standard library counts.
materials() {
	quiet cyclonedx-gomod bin -json -std -licenses -assert-licenses -noserial -notimestamp -version "$VERSION" \
		-output "$out/kanmon_${VERSION}_linux_$ARCH.cdx.json" "$program"
}

# stage lays out the files of a package as they will lie on a host. The documents lie apart: the two formats name some
# of them differently, and put the completion of zsh elsewhere.
stage() {
	KANMON=$program BUILT=$work/made PREFIX=/usr DESTDIR=$STAGE dist/install.sh install
	find "$STAGE/usr/share/man" -type f -exec gzip -9n {} +
	export DOC=$work/$ARCH/doc
	mkdir "$DOC"
	mv "$STAGE/usr/share/man" "$DOC/man"
	mv "$STAGE/usr/share/doc/kanmon" "$DOC/rpm"
	rmdir "$STAGE/usr/share/doc"
	# Debian's zsh looks for what packages bring in a folder of its own.
	mv "$STAGE/usr/share/zsh/site-functions/_kanmon" "$DOC/_kanmon"
	rmdir -p --ignore-fail-on-non-empty "$STAGE/usr/share/zsh/site-functions"
	cp "$work/copyright" "$DOC/rpm/copyright"

	cp -r "$DOC/rpm" "$DOC/deb"
	gzip -9n <"$DOC/deb/CHANGELOG.md" >"$DOC/deb/changelog.gz"
	changelog | gzip -9n >"$DOC/deb/changelog.Debian.gz"
	rm "$DOC/deb/CHANGELOG.md" "$DOC/deb/LICENSE" # which Debian has once for all packages
	sed -i 's|](CHANGELOG\.md)|](changelog.gz)|; s|](LICENSE)|](copyright)|' "$DOC/deb/README.md"
}

changelog() {
	cat <<-END
		kanmon ($VERSION-1) stable; urgency=medium

		  * Version $VERSION.
		    What has changed is told in changelog.gz beside this file.

		 -- $MAINTAINER  $(date -R -d "@$SOURCE_DATE_EPOCH")
	END
}

# tarball packs what dist/install.sh needs, for hosts with another package system.
tarball() {
	local name=kanmon-$VERSION-linux-$ARCH
	local top=$work/$ARCH/$name
	mkdir -p "$top"
	cp "$program" "$top/kanmon"
	cp "$work/copyright" "$top/COPYRIGHT"
	cp -r README.md CHANGELOG.md CONTRIBUTING.md LICENSE dist docs "$work/made/man" "$work/made/completion" "$top"
	chmod -R u=rwX,go=rX "$top"
	tar --create --directory "$work/$ARCH" --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
		--owner=0 --group=0 --numeric-owner "$name" | gzip -9n >"$out/$name.tar.gz"
}

quiet() {
	"$@" >"$work/said" 2>&1 || {
		cat "$work/said" >&2
		return 1
	}
}

nfpm() { go tool -modfile=tools/packaging/go.mod nfpm "$@"; }
cyclonedx-gomod() { go tool -modfile=tools/packaging/go.mod cyclonedx-gomod "$@"; }

main "$@"
