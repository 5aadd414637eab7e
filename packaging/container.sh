#!/bin/bash
# Builds the image of Containerfile with buildah into build/kanmon-oci.tar, an OCI archive that podman, skopeo and others
# load. From the environment: VERSION (what version.sh says), ARCH (this machine's), SOURCE_DATE_EPOCH (the commit's
# time), OUT.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

VERSION=${VERSION:-$(packaging/version.sh)}
ARCH=${ARCH:-$(go env GOARCH)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
out=$(realpath -m "${OUT:-build/kanmon-oci.tar}")

command -v buildah >/dev/null || {
	echo "container.sh: buildah is not installed (package buildah)" >&2
	exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

root=$work/rootfs
mkdir -p "$root/usr/bin" "$root/etc/kanmon" "$root/usr/share/doc/kanmon"
CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath -buildvcs=auto \
	-ldflags "-s -w -X main.release=$VERSION" -o "$root/usr/bin/kanmon" ./cmd/kanmon
packaging/copyright.sh >"$root/usr/share/doc/kanmon/copyright"
echo "kanmon:x:65532:65532:kanmon SMTP proxy:/:/sbin/nologin" >"$root/etc/passwd"
echo "kanmon:x:65532:" >"$root/etc/group"
mkdir -p "$work"/owned/var/{lib,log}/kanmon "$work/owned/run/kanmon" "$(dirname "$out")"
find "$work" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

rm -f "$out"
buildah build --quiet --isolation "${BUILDAH_ISOLATION:-chroot}" --platform "linux/$ARCH" \
	--timestamp "$SOURCE_DATE_EPOCH" --label "org.opencontainers.image.title=kanmon" \
	--label "org.opencontainers.image.version=$VERSION" --label "org.opencontainers.image.licenses=Apache-2.0" \
	--file Containerfile --tag "oci-archive:$out:kanmon:${VERSION//+/-}" "$work" >/dev/null
echo "$out"
