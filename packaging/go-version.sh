#!/bin/sh
# Says it clearly where the Go at hand is too old for this tree, or is not there: go-version.sh [GO]
set -eu
cd "$(dirname "$0")/.."
go=${1:-go}

needed=$(sed -n 's/^go //p' go.mod)
where="have Go $needed or newer: https://go.dev/dl; Debian 12 itself has an older one. Packages of kanmon need no Go."
if ! command -v "$go" >/dev/null; then
	echo "kanmon is built with Go, and there is no \"$go\" here; $where" >&2
	exit 1
fi
# A Go of 1.21 or later fetches the one that go.mod names, or says itself why it may not.
have=$("$go" version | sed 's/^go version go\([0-9.]*\).*/\1/')
if [ "$(printf '%s\n%s\n' "$needed" "$have" | sort -V | head -n 1)" != "$needed" ]; then
	echo "kanmon needs Go $needed or newer, and \"$go\" is Go $have; $where" >&2
	exit 1
fi
