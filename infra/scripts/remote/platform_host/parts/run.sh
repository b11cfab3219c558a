
# --- Runs that go on when the connection ends.

command_start() { # the run goes on when the connection ends
    local verb=${1:-} program=$PROGRAM pipe=
    case $verb in
        deploy)
            require_version "${2:-}"
            [ ! -f "$RELEASES/$2/platform_host.sh" ] || program=$RELEASES/$2/platform_host.sh
            ;;
        restore) # what opens the copies goes from this connection to the detached half by a pipe, and lies nowhere
            require_root restore
            if [[ " $* " != *" --undo "* ]]; then
                pipe=$(mktemp -d "${TMPDIR:-/tmp}/platform-identity.XXXXXX")/identity
                mkfifo -m 0600 "$pipe"
                set -- "$@" --identity "$pipe"
            fi
            ;;
        rollback | resume | rotate) ;;
        *) die $USAGE "start knows deploy, rollback, rotate, restore and resume" ;;
    esac
    mkdir -p "$RUNS"
    RUN=$(date -u +%Y%m%dT%H%M%SZ)-$$-$verb
    : >"$RUNS/$RUN.log"
    if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
        systemd-run --quiet --collect --unit="platform-$RUN" \
            /bin/bash "$program" --root "$ROOT" supervise "$RUN" "$@" >/dev/null
    else
        setsid --fork /bin/bash "$program" --root "$ROOT" supervise "$RUN" "$@" </dev/null >/dev/null 2>&1
    fi
    [ -z "$pipe" ] || hand_over "$pipe"
    begun || die $FAILED "the run $RUN does not begin. See: journalctl -u platform-$RUN"
    printf '%s\n' "$RUN"
}

begun() { # the detached half has written its number; on a busy host that takes a while, and `follow` would miss it
    for _ in {1..400}; do
        [ ! -f "$RUNS/$RUN.pid" ] || return 0
        sleep 0.05
    done
    return 1
}

command_supervise() { # the detached half: keeps the log and, at the end, the exit code
    local rc=0
    RUN=$1
    shift
    boot_id | write_whole "$RUNS/$RUN.boot" # a number is good until the host starts again
    printf '%s\n' "$$" | write_whole "$RUNS/$RUN.pid"
    PLATFORM_RUN=$RUN /bin/bash "$PROGRAM" --root "$ROOT" "$@" >>"$RUNS/$RUN.log" 2>&1 || rc=$?
    case $rc in
        "$OK" | "$FAILED" | "$USAGE" | "$REFUSED" | "$LOCKED" | "$BROKEN") ;;
        *)
            printf '%s  it ended with %s, which nobody foresaw; see status\n' "$(stamp)" "$rc" >>"$RUNS/$RUN.log"
            rc=$BROKEN
            ;;
    esac
    if [ "$rc" = 0 ] && [ "$1" = deploy ] && ! install_self >>"$RUNS/$RUN.log" 2>&1; then
        printf '%s  warning: the programs of this release could not be put into %s; the older ones go on. Make room, then deploy it again.\n' "$(stamp)" "$ROOT/bin" >>"$RUNS/$RUN.log"
    fi
    printf '%s\n' "$rc" | write_whole "$RUNS/$RUN.rc"
}

boot_id() { cat /proc/sys/kernel/random/boot_id; }

install_self() { # the programs of the release that serves are those the deploy key speaks to
    local name from
    for name in host_secrets.sh platform_host.sh; do
        from=$(dirname "$PROGRAM")/$name
        if [ ! -f "$from" ] || cmp -s "$from" "$ROOT/bin/$name"; then continue; fi
        { mkdir -p "$ROOT/bin" && install -m 0755 "$from" "$ROOT/bin/.$name.new" && mv -f "$ROOT/bin/.$name.new" "$ROOT/bin/$name"; } || return 1
    done
}

command_follow() {
    local run=${1:-} from=${2:-1} pid='' boot='' file
    [[ $run =~ ^[0-9TZ]+-[0-9]+-[a-z]+$ ]] && [[ $from =~ ^[0-9]+$ ]] || die $USAGE "say: follow RUN [BYTE]"
    [ -f "$RUNS/$run.log" ] || die $USAGE "there is no run $run"
    file=$RUNS/$run
    for _ in {1..20}; do # the detached half writes its number first
        pid=$(cat "$file.pid" 2>/dev/null || true)
        if [ -n "$pid" ] || [ -f "$file.rc" ]; then break; fi
        sleep 0.1
    done
    boot=$(cat "$file.boot" 2>/dev/null || true) # none: of a program from before it was written
    # Whoever has the number after the host started again is somebody else, and would be waited for as long as it runs.
    [ -z "$boot" ] || [ "$boot" = "$(boot_id)" ] || pid=
    if [ -n "$pid" ] && [ ! -f "$file.rc" ]; then
        tail --bytes "+$from" --sleep-interval 0.2 --follow --pid "$pid" "$file.log" 2>/dev/null || true
    else
        tail --bytes "+$from" "$file.log"
    fi
    [ -f "$file.rc" ] || die $FAILED "the run ended without a word: the host stopped it or was restarted. See status; resume ends it."
    return "$(cat "$file.rc")"
}
