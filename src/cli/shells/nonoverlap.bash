# bash completion for nonoverlap: what `nonoverlap --completions bash` prints.
#
# Where COMPREPLY stays empty, readline completes file names, unless that is turned off.

_nonoverlap() {
    local cur=${COMP_WORDS[COMP_CWORD]} option first=1 ended='' place=lockfile
    COMPREPLY=()
    while ((first < COMP_CWORD)) && [[ ${COMP_WORDS[first]} == -?* ]]; do
        option=${COMP_WORDS[first]}
        ((first++))
        case $option in
            --) ended=yes && break ;;
            --status | --history | --uninstall) place=lockfiles ;;
            --fd | --fd=*) place=command ;;
        esac
        if [[ $option =~ ^(@TAKING@|-[@PLAIN_LETTERS@]*[@TAKING_LETTERS@])$ ]]; then
            # `--log=FILE` is three words here.
            [[ ${COMP_WORDS[first]} == = ]] && ((first < COMP_CWORD)) && ((first++))
            if ((first == COMP_CWORD)); then
                _nonoverlap_argument "$option" "${cur#=}"
                return
            fi
            ((first++))
        fi
    done
    if ((first == COMP_CWORD)) && [[ $cur == -* && ! $ended ]]; then
        compopt +o default
        COMPREPLY=($(compgen -W '@OPTIONS@' -- "$cur"))
        return
    fi
    if [[ $place == lockfile ]]; then
        # A name with a colon or an equals sign is several words, too.
        while ((first + 1 < COMP_CWORD)) && [[ ${COMP_WORDS[first + 1]} == [:=] ]]; do
            ((first += 2))
        done
        ((first >= COMP_CWORD)) && return
        [[ ${COMP_WORDS[first + 1]} == [:=] ]] && return
        ((first++))
        place=command
    fi
    [[ $place == command ]] && _nonoverlap_command "$first" "$cur"
}

_nonoverlap_argument() {
    case $1 in
        @FILES@ | -[!-]*[@FILES_LETTERS@]) ;;
        --on-lost) compopt +o default && COMPREPLY=($(compgen -W 'term kill ignore' -- "$2")) ;;
        --completions) compopt +o default && COMPREPLY=($(compgen -W 'bash zsh fish' -- "$2")) ;;
        *) compopt +o default ;;
    esac
}

# The words from $1 on are the command's.
_nonoverlap_command() {
    if (($1 < COMP_CWORD)) && [[ ${COMP_WORDS[$1]} =~ ^(@COMMAND_PATTERN@)$ ]]; then
        compopt +o default
    elif (($1 == COMP_CWORD)) && [[ $2 == -* ]]; then
        compopt +o default
        COMPREPLY=($(compgen -W '@COMMAND@' -- "$2"))
    elif declare -F _comp_command_offset >/dev/null; then
        compopt +o default
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        compopt +o default
        _command_offset "$1"
    elif (($1 == COMP_CWORD)); then
        # Without bash-completion, words behind the command's name complete as file names.
        COMPREPLY=($(compgen -c -- "$2"))
    fi
}

complete -o default -F _nonoverlap nonoverlap
