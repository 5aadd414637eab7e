# Completion of kanmon for fish: kanmon completion fish >~/.config/fish/completions/kanmon.fish
function __kanmon_complete
	set -l words (commandline -opc) (commandline -ct)
	set -l offered ($words[1] complete -- $words[2..] 2>/dev/null)
	if test (count $offered) -gt 0
		printf '%s\n' $offered
	else
		__fish_complete_path (commandline -ct)
	end
end
complete -c kanmon -f -a '(__kanmon_complete)'
