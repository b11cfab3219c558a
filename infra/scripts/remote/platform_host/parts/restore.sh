
# --- Data put back from a copy: the whole of it, or one customer's. Only root says it.
#
# The copy is recovered beside the data while the platform serves. Then writers and the database stop, the two folders
# change names, and everything starts again: what was there stays beside until `backup forget`. Until the new data has
# proved itself nobody is let in, and whatever fails puts the old folder back.

command_restore() {
    COPY='' TO='' CUSTOMER='' UNDO='' WHY=''
    local identity=
    while [ $# -gt 0 ]; do
        case $1 in
            --to) TO=${2:-} && shift ;;
            --customer) CUSTOMER=${2:-} && shift ;;
            --identity) identity=${2:-} && shift ;;
            --undo) UNDO=yes ;;
            --by) BY=${2:-unknown} && shift ;;
            [0-9]*) COPY=$1 ;;
            *) die $USAGE "restore knows no '$1'" ;;
        esac
        shift
    done
    require_root restore
    read_identity "$identity"
    VERB=restore
    require_goal
    take_lock restore "${CUSTOMER:-everything} to ${TO:-$COPY}"
    end_crash
    prepare_restore
    if [ -n "$CUSTOMER" ]; then restore_customer; else restore_everything; fi
}

require_goal() {
    [ -z "$CUSTOMER" ] || [[ $CUSTOMER =~ ^[a-z][a-z0-9_]{1,39}$ ]] || die $USAGE "'${CUSTOMER:0:40}' is no customer's name"
    if [ -n "$UNDO" ]; then
        [ -z "$COPY$TO" ] || die $USAGE "an undone restore goes back to what was set aside; it takes neither a copy nor a time"
        return
    fi
    [ -n "$IDENTITY" ] || die $USAGE "the identity that opens the copies comes on stdin"
    case $COPY:$TO in
        :latest | :20[0-9][0-9]-* | 20[0-9][0-9]*:) ;;
        *) die $USAGE "say what to go back to: the name of a copy, or --to with an instant such as 2026-01-31T03:10:00Z, or --to latest" ;;
    esac
}

# What opens the copies is in this shell's memory and in pipes, and in no file, argument or variable of a process.
read_identity() { # read_identity PIPE: what `start` hands over, or stdin
    IDENTITY=
    [ -z "$UNDO" ] || return 0
    if [ -n "$1" ]; then
        IDENTITY=$(head -c 65536 "$1")
    elif [ ! -t 0 ]; then
        IDENTITY=$(head -c 65536)
    fi
}

hand_over() { # hand_over PIPE <identity: waits until the detached half has read it
    local code=0
    # shellcheck disable=SC2016 # the inner shell fills it in
    timeout 30 bash -c 'head -c 65536 >"$1"' hand_over "$1" || code=$?
    rm -rf "$(dirname "$1")"
    [ "$code" = 0 ] || die $FAILED "the run did not take the identity; say why: follow $RUN"
}

prepare_restore() {
    prepare "$(deployed version)" "$RELEASES/$(deployed version)"
    [ -n "$OLD" ] || die $REFUSED "no release serves on this host. Deploy one first: the program that restores comes with it."
    check_docker
    [ "$PROBLEMS" = 0 ] || finish_preflight
    SERVICES=$(compose_old --profile '*' config --services)
    COLOR=$OLD_COLOR
    [ -n "$(container_of postgres)" ] || die $REFUSED "there is no database on this host. Deploy a release first."
}

# The backup's own image and settings, with what else this one task needs; nothing of it stays.
beside() { # beside OPTION... -- WORD...
    local -a options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    compose_old run --rm --no-deps --no-TTY "${options[@]}" backup "$@"
}

in_volume() { # in_volume SCRIPT WORD...: a few lines of shell where the data is
    beside "${WITH_DATA[@]}" --entrypoint sh -- -euc "cd /var/lib/postgresql; $1" in_volume "${@:2}"
}

restores() { # restores VERB WORD...: the program that looks after data that was put back, with a way into the database
    beside "${WITH_SOCKET[@]}" -- -m platform_core.restores "$@" --by "$BY"
}

remark() { # remark PHASE: how far this restore has come
    jq -n --arg phase "$1" --arg customer "$CUSTOMER" --arg copy "$COPY" --arg to "$TO" --arg aside "${ASIDE:-}" \
        --arg color "$COLOR" --arg version "$OLD" --arg run "$RUN" --arg by "$BY" --arg at "$(stamp)" \
        '{phase: $phase, customer: $customer, copy: $copy, to: $to, aside: $aside, color: $color, version: $version,
          run: $run, by: $by, at: $at}' | write_whole "$STATE/restoring.json" || no_room "$STATE/restoring.json" || return 1
    PHASE=$1
}

begin_restore() { # begin_restore PHASE: the first mark, before which nothing was changed
    remark "$1" || die $REFUSED "$WHY. Nothing was changed; make room: prune, or backup forget."
}

remarked() { jq -r --arg field "$1" '.[$field] // empty' "$STATE/restoring.json"; }

# --- Everything

restore_everything() {
    ASIDE=data.before-$(date -u +%Y%m%dT%H%M%SZ)
    if [ -n "$UNDO" ]; then
        require_aside
    else
        check_restore_room
        recover_beside
    fi
    audit restoring copy "$RECOVERED" to "$TO" aside "$ASIDE"
    if ! exchange_data; then restore_badly; fi
    audit restored copy "$RECOVERED" to "$TO" aside "$ASIDE" seconds "$((SECONDS - BEGAN))" closed_seconds "$((SECONDS - CLOSED))"
    rm -f "$STATE/restoring.json"
    say "restore: it serves the data of $RECOVERED; closed for $((SECONDS - CLOSED)) s. What was there is $ASIDE until: backup forget"
}

check_restore_room() { # the copy beside the data; both stay until somebody forgets one
    local where used free
    where=$(engine_folders | sed -n 1p) # to the end: who stops reading fails the pipe
    used=$(in_volume 'du -sm data 2>/dev/null | cut -f1' 2>/dev/null | tr -dc 0-9) || used=0
    free=$(df --output=avail -BM "$where" | tail -n 1 | tr -dc 0-9)
    [ "$free" -ge $((${used:-0} * 2 + $(setting RESTORE_SPARE_MB 1024))) ] ||
        die $REFUSED "$where has $free MB free; a restore beside ${used:-0} MB of data needs twice that and $(setting RESTORE_SPARE_MB 1024) MB. Run: backup forget; prune; or free the ballast."
}

recover_beside() { # nothing that serves is touched; a wrong identity, a damaged copy and a time that no copy reaches end here
    local said code=0
    in_volume 'rm -rf data.coming data.coming.new' >/dev/null 2>&1 || die $FAILED "the database's volume cannot be written"
    say "restore: recovering beside the data; the platform serves meanwhile"
    said=$(printf '%s\n' "$IDENTITY" | beside "${WITH_DATA[@]}" --env PLATFORM_BACKUP_DATA=/var/lib/postgresql/data.coming -- \
        restore ${COPY:+"$COPY"} ${TO:+--to "$TO"} --json) || code=$?
    IDENTITY=
    if [ "$code" != 0 ]; then
        in_volume 'rm -rf data.coming data.coming.new; [ -e data ] && rm -f restoring' >/dev/null 2>&1 || true
        audit refused copy "$COPY" to "$TO" reason "it cannot be recovered"
        say "restore: refused; nothing was changed, and it serves as before"
        exit $REFUSED
    fi
    RECOVERED=$(jq -r '.copy // empty' <<<"$said") REACHED=$(jq -r '.to // empty' <<<"$said")
    say "restore: $RECOVERED is recovered up to ${REACHED:-its end}"
}

require_aside() { # an undone restore: what was set aside last comes back
    RECOVERED=$(aside_of_cluster) || exit $REFUSED
    RECOVERED=$(tail -n 1 <<<"$RECOVERED") REACHED='' COPY=$RECOVERED
    [ -n "$RECOVERED" ] || die $REFUSED "nothing was set aside by a restore"
    begin_restore stop
    # shellcheck disable=SC2016 # the shell in the container fills it in
    in_volume 'rm -rf data.coming; mv "$1" data.coming' "$RECOVERED" || die $FAILED "$RECOVERED cannot be moved"
}

aside_of_cluster() { # names, oldest first
    # shellcheck disable=SC2016 # the shell in the container fills it in
    in_volume 'for one in data.before-*; do [ ! -d "$one" ] || echo "$one"; done' 2>/dev/null | sort && return
    printf 'platform_host: %s\n' "what restores set aside cannot be looked at: no container of the backup starts. See: logs backup." >&2
    return 1
}

exchange_data() { # WHY and PHASE say where it stopped
    remark stop || return 1
    CLOSED=$SECONDS
    stop_writers || { WHY="what writes cannot be stopped" && return 1; }
    remark exchange || return 1
    # shellcheck disable=SC2016 # the shell in the container fills it in
    # The marker keeps a database that is started in between from making itself an empty folder.
    in_volume 'touch restoring; mv data "$1"; mv data.coming data; rm restoring' "$ASIDE" || { WHY="the folders cannot be exchanged" && return 1; }
    remark start || return 1
    compose_old up --detach --no-deps postgres >/dev/null 2>&1 || { WHY="the database cannot be started" && return 1; }
    wait_for_container postgres || return 1
    let_logins_in || return 1
    settle_data || return 1
    remark serve || return 1
    serve_again || return 1
}

stop_writers() { # who writes first; then the backup, with the end of the log; then the database, which would wait for it
    local grace
    grace=$(setting RESTORE_GRACE_S 10)
    compose_old stop --timeout "$grace" door worker_webhook worker_default worker_ops "server_$COLOR" >/dev/null 2>&1 || return 1
    hand_over_log || say "restore: the end of the log is not with the backup; what was there stays beside"
    compose_old stop backup >/dev/null 2>&1 || return 1
    compose_old stop postgres >/dev/null 2>&1 || return 1
}

in_database() { # in_database STATEMENT: one value
    docker exec "$(container_of postgres)" psql --host=/run/postgresql --username=postgres --no-psqlrc --quiet --tuples-only --no-align --command="$1" 2>/dev/null
}

hand_over_log() { # the backup takes whole parts of the log: this one is closed, and awaited
    local end
    end=$(in_database 'SELECT pg_switch_wal()') && [[ $end =~ ^[0-9A-F]+/[0-9A-F]+$ ]] || return 1
    for _ in {1..40}; do
        [ "$(in_database "SELECT count(*) FROM pg_stat_replication WHERE usename = 'backup' AND flush_lsn >= '$end'")" = 0 ] || return 0
        sleep 0.25
    done
    return 1
}

let_logins_in() { # passwords are those of the files, whatever they were when the copy was made
    NEW_ENV=$ROOT/release.env
    place_certificate "$NEW_ENV" || { WHY="the database's certificate cannot be placed" && return 1; }
    let_in windmill-login SECRET_WINDMILL_DATABASE_URL || return 1
    let_in superuser-password SECRET_DATABASE_SUPERUSER_PASSWORD || return 1
    let_in backup-password SECRET_BACKUP_DATABASE_PASSWORD || return 1
    let_in door-password SECRET_DOOR_DATABASE_PASSWORD || true # a copy from before the door was made has no such login
}

settle_data() { # closed to customers again, unsent messages held, every audit trail proven
    local said code=0
    said=$(restores settle --copy "$RECOVERED" --to "${REACHED:-$TO}") || code=$?
    [ -z "$said" ] || printf '%s\n' "$said"
    [ "$code" = 0 ] || { WHY="the restored data is not well: $(tail -n 1 <<<"$said" | cut -c1-300)" && return 1; }
}

serve_again() { # workers begin with an empty folder of their own: it is memory, so flow versions are forgotten with it
    compose_old up --detach --no-deps backup worker_default worker_webhook worker_ops "server_$COLOR" door >/dev/null 2>&1 ||
        { WHY="what serves cannot be started" && return 1; }
    wait_for_server "server_$COLOR" "$(old_image)" "$RELEASES/$OLD" "$(worker_count)" || return 1
    wait_for_container door worker_default worker_webhook worker_ops || return 1
    NEW_DIR=$RELEASES/$OLD
    smoke || return 1
}

restore_badly() {
    local why=$WHY phase=$PHASE
    audit failed phase "$phase" reason "$why" verb restore
    if return_data; then
        audit returned reason "$why" verb restore
        rm -f "$STATE/restoring.json"
        say "restore: failed in $phase: $why. It serves the data it had, as before."
        exit $FAILED
    fi
    audit broken reason "$WHY" verb restore
    say "restore: failed in $phase: $why; the way back failed too: $WHY. Wake somebody; see docs/guides/restore.md."
    exit $BROKEN
}

return_data() { # the folder that was there, in its place again, and everything on it; the copy's is deleted
    say "going back: $WHY"
    compose_old stop --timeout 10 door worker_webhook worker_default worker_ops "server_$COLOR" >/dev/null 2>&1 || true
    compose_old stop postgres backup >/dev/null 2>&1 || { WHY="the database cannot be stopped" && return 1; }
    # shellcheck disable=SC2016 # the shell in the container fills them in
    in_volume 'if [ -d "$1" ]; then touch restoring; [ ! -e data ] || mv data data.coming; mv "$1" data; fi
        [ -d data ]; rm -f restoring; case $2 in data.before-*) [ ! -d data.coming ] || mv data.coming "$2" ;; *) rm -rf data.coming data.coming.new ;; esac' \
        "$ASIDE" "$COPY" || { WHY="the folder $ASIDE cannot be moved back" && return 1; }
    compose_old up --detach --no-deps postgres >/dev/null 2>&1 || { WHY="the database cannot be started" && return 1; }
    wait_for_container postgres || return 1
    let_logins_in && serve_again
}

# --- One customer

restore_customer() { # everybody works on; the customer's own sessions end for a moment
    local code=0
    begin_restore customer
    if [ -n "$UNDO" ]; then
        say "restore: $CUSTOMER gets back what it had before its last restore"
        restores undo "$CUSTOMER" || code=$?
    else
        say "restore: $CUSTOMER, from a copy that is recovered in a place of its own"
        place_customer || code=$?
    fi
    IDENTITY=
    if [ "$code" = 0 ]; then
        audit restored customer "$CUSTOMER" copy "$COPY" to "$TO" undone "$UNDO" seconds "$((SECONDS - BEGAN))"
        rm -f "$STATE/restoring.json"
        say "restore: $CUSTOMER is back, $((SECONDS - BEGAN)) s; what it had is beside until: backup forget $CUSTOMER"
        return
    fi
    audit failed customer "$CUSTOMER" reason "restore" verb restore
    end_restore
    say "restore: $CUSTOMER has what it had; nobody else noticed"
    judged "$code"
}

place_customer() { # the dump goes from one container into the other; the first that fails says why
    local -a ends
    set +o errexit
    printf '%s\n' "$IDENTITY" | in_backup customer "$CUSTOMER" ${COPY:+--copy "$COPY"} ${TO:+--to "$TO"} |
        restores place "$CUSTOMER" --copy "$COPY" --to "$TO"
    ends=("${PIPESTATUS[@]}")
    set -o errexit
    [ "${ends[1]}" = 0 ] || return "${ends[1]}"
    return "${ends[2]}"
}

# --- What a crash left half done

end_restore() {
    [ -f "$STATE/restoring.json" ] || return 0
    # Its own names for all that it sets: what the command at hand was asked for stays as it was said.
    local phase customer COPY BY OLD COLOR ASIDE PHASE WHY SERVICES NEW_DIR NEW_ENV
    phase=$(remarked phase) customer=$(remarked customer) COPY=$(remarked copy) BY=$(remarked by) OLD=$(remarked version) COLOR=$(remarked color) ASIDE=$(remarked aside)
    say "resume: restore by $(remarked by) stopped in $phase ($(remarked at))"
    NEW_DIR=$RELEASES/$OLD NEW_ENV=$ROOT/release.env
    SERVICES=$(compose_old --profile '*' config --services)
    if [ -n "$customer" ]; then
        restores heal "$customer" || die $BROKEN "$customer could not be let in again. See docs/guides/restore.md."
        rm -f "$STATE/restoring.json"
        return
    fi
    WHY="the host or the program stopped in $phase" PHASE=$phase
    if [ "$phase" = serve ] && serve_again; then # the data has proved itself: forward
        audit restored copy "$(remarked copy)" to "$(remarked to)" aside "$ASIDE" verb resume
    elif return_data; then
        audit returned reason "stopped in $phase" verb restore
    else
        audit broken reason "$WHY" verb restore
        say "resume: the way back failed: $WHY. Wake somebody; see docs/guides/restore.md."
        exit $BROKEN
    fi
    rm -f "$STATE/restoring.json"
}

copies_forget() { # forget [--customer NAME]: what restores set aside; there is no way back to it afterwards
    local name names customer='' code=0
    while [ $# -gt 0 ]; do
        case $1 in
            --customer) customer=${2:-} && shift ;;
            --by) BY=${2:-unknown} && shift ;;
            *) die $USAGE "backup forget knows no '$1'" ;;
        esac
        shift
    done
    [ -z "$customer" ] || [[ $customer =~ ^[a-z][a-z0-9_]{1,39}$ ]] || die $USAGE "'${customer:0:40}' is no customer's name"
    take_lock forget "${customer:-everything set aside}"
    end_crash
    prepare_restore
    if [ -n "$customer" ]; then
        restores forget "$customer" || code=$?
        judged "$code"
        return
    fi
    names=$(aside_of_cluster) || exit $FAILED
    for name in $names; do
        # shellcheck disable=SC2016 # the shell in the container fills it in
        in_volume 'rm -rf "$1"' "$name" || die $FAILED "$name cannot be deleted"
        audit forgotten aside "$name"
        say "forget: $name is gone"
    done
}
