# fish completion for nonoverlap: what `nonoverlap --completions fish` prints.

# Succeeds if the cursor is at the command's words, and prints those before it. Fails with 1 where an
# option can come, and with 2 where only a lock file can.
function __nonoverlap_command
    set -l words (commandline -opc)
    set -l place lockfile
    set -l otherwise 1
    set -e words[1]
    while string match -q -- '-?*' $words[1]
        set -l option $words[1]
        set -e words[1]
        switch $option
            case --
                set otherwise 2
                break
            case --status --history --uninstall
                set place lockfiles
            case --fd '--fd=*'
                set place command
        end
        if string match -qr -- '^(@TAKING@|-[@PLAIN_LETTERS@]*[@TAKING_LETTERS@])$' $option
            # Without its argument, that is what the cursor is at.
            set -q words[1]; or return 1
            set -e words[1]
        end
    end
    switch $place
        case lockfiles
            set -q words[1]; and return 2
            return $otherwise
        case lockfile
            set -q words[1]; or return $otherwise
            set -e words[1]
        case command
            set -q words[1]; or not string match -q -- '-*' (commandline -ct); or return $otherwise
    end
    set -q words[1]; and printf '%s\n' $words
    return 0
end

# What the command itself would complete.
function __nonoverlap_complete_command
    set -l words (__nonoverlap_command)
    if set -q words[1]; and contains -- $words[1] @COMMAND@
        return
    end
    complete --do-complete=(string join -- ' ' (string escape -- $words) (commandline -ct))
end

# Whether a command line for the shell can stand here.
function __nonoverlap_at_command
    set -l words (__nonoverlap_command)
    and not set -q words[1]
end

complete -c nonoverlap -n __nonoverlap_command -f -a '(__nonoverlap_complete_command)'
set -l command -c nonoverlap -n __nonoverlap_at_command
set -l option -c nonoverlap -n '__nonoverlap_command >/dev/null; test $status = 1'
@SPECS@
