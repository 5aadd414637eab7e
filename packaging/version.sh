#!/bin/sh
# Prints the version of this tree, from git:
#
#   of the tag v1.2.3        1.2.3
#   of the tag v1.3.0-rc.1   1.3.0~rc.1, which packages sort before 1.3.0
#   of a commit behind it    1.2.3+git20261129182000.5249618d2f0a, which they sort between 1.2.3 and 1.2.4
#   before the first tag     0.0.0+git…
#
# and .dirty behind it where files differ from the commit. Without git, the version has to be said: VERSION=1.2.3.
set -eu
cd "$(dirname "$0")/.."

if ! commit=$(git rev-parse --short=12 HEAD 2>/dev/null); then
	echo "version.sh: this is no git checkout: say the version, as in make packages VERSION=1.2.3" >&2
	exit 1
fi
dirty=
[ -z "$(git status --porcelain --untracked-files=no)" ] || dirty=.dirty

if ! tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null); then
	tag=v0.0.0
fi
version=$(echo "${tag#v}" | sed 's/-/~/; s/-/./g')

if [ -z "$dirty" ] && [ "$(git rev-parse --verify --quiet "$tag^{commit}")" = "$(git rev-parse HEAD)" ]; then
	echo "$version"
else
	echo "$version+git$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S).$commit$dirty"
fi
