#compdef kanmon
# Completion of kanmon for zsh: a file _kanmon in a folder of $fpath, or: source <(kanmon completion zsh)
_kanmon() {
	local -a offered
	local word help
	while IFS=$'\t' read -r word help; do
		offered+=("${word//:/\\:}:$help")
	done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
	if (( $#offered )); then
		_describe kanmon offered
	else
		_files
	fi
}
if [[ ${funcstack[1]} == _kanmon ]]; then
	_kanmon "$@"
else
	compdef _kanmon kanmon
fi
