# Completion of kanmon for bash. Load it with: source <(kanmon completion bash)
_kanmon() {
	local line=${COMP_LINE:0:COMP_POINT} words current word shown
	read -ra words <<<"$line"
	if [[ $line == *[[:space:]] ]]; then
		words+=("")
	fi
	current=${words[-1]}
	# bash has parted the word at every ":" and "=", and wants what comes behind the last of them.
	shown=${current##*[:=]}
	COMPREPLY=()
	while IFS=$'\t' read -r word _; do
		COMPREPLY+=("${word#"${current%"$shown"}"}")
	done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _kanmon kanmon
