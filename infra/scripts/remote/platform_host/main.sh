
# --- What may be said, by the deploy key and by root

command_gate() { # what a deploy key may say: one line of plain words, and nothing else runs
    local -a words
    local word
    read -r -a words <<<"${1:-}"
    [ "${#words[@]}" -gt 0 ] || die $USAGE "this key deploys; it opens no shell. Say: status, preflight, receive, try, start, follow, logs, prune, secrets, backup"
    for word in "${words[@]}"; do
        [[ $word =~ $WORD_FORM ]] || die $USAGE "'$word' is not a plain word"
    done
    GATED=yes
    case ${words[0]} in
        status | preflight | receive | try | start | follow | logs | prune | secrets | backup) dispatch "${words[@]}" ;;
        rollback) # only to see what it would do; the real one is detached, by start
            [[ " ${words[*]} " == *" --dry-run "* ]] || die $USAGE "say: start rollback"
            dispatch "${words[@]}"
            ;;
        *) die $USAGE "a deploy key cannot say '${words[0]}'" ;;
    esac
}

dispatch() {
    local command=${1:-}
    case ${*: -1} in --root | --release | --now | --by | --to | --customer | --identity | --reason | --keep | --dir) die $USAGE "${*: -1} wants a value" ;; esac
    case $command in
        preflight | deploy | rollback | rotate | resume | status | prune | logs | gate | receive | try | start | supervise | follow | secrets | keys | backup | restore | entry | door) ;;
        *) die $USAGE "there is no command '$command'. See the head of $PROGRAM." ;;
    esac
    [ -d "$STATE" ] || die $REFUSED "$STATE is missing: this host was not made ready. Run: wmctl host bootstrap."
    "command_$command" "${@:2}"
}

main() {
    if [ "${1:-}" = --root ]; then
        [ $# -ge 2 ] || die $USAGE "--root wants a value"
        ROOT=$2
        shift 2
    fi
    use_root
    dispatch "$@"
}

main "$@"
