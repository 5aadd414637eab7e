#!/bin/sh
# Prints the licences of kanmon and of everything that is linked into it: this is what its packages owe to the authors.
set -eu
cd "$(dirname "$0")/.."

echo "Copyright: the kanmon authors. kanmon is licensed under the Apache License, Version 2.0, whose text is in LICENSE"
echo "beside this file, and on Debian in /usr/share/common-licenses/Apache-2.0."
echo
echo "The program contains the standard library of Go and the modules below, each under its own licence."

licence() {
	printf '\n%s\n%s\n\n' "------------------------------------------------------------------------" "$1"
	shift
	for file; do
		# One copy of this long one is enough.
		if grep -q 'Version 2.0, January 2004' "$file" && grep -q 'END OF TERMS AND CONDITIONS' "$file"; then
			echo "The Apache License, Version 2.0, as kanmon itself."
			sed '1,/END OF TERMS AND CONDITIONS/d' "$file" | grep '^ *Copyright' | grep -v '\[' || true
		else
			cat "$file"
		fi
	done
}

licence "Go, https://go.dev" "$(go env GOROOT)/LICENSE"
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/kanmon | sort -u |
	while read -r path version dir; do
		found=$(find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort)
		if [ -z "$found" ]; then
			echo "copyright.sh: $path $version has no licence in $dir" >&2
			exit 1
		fi
		# shellcheck disable=SC2086 # one file a word; module paths have no blanks
		licence "$path $version" $found
	done
