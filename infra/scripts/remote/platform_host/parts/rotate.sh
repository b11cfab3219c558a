
# --- Replacing a secret while it is in use. Each kind is a list of steps that are done once; what stands in
# --- state/rotating.json says which, so that a repeat ends what a crash or a failure left half done.

rotation_kinds() { echo windmill-database door-database backup-database database-superuser database-tls superadmin door-token; }

command_rotate() {
    local kind=${1:-} SERVED=
    [ $# = 0 ] || shift
    [ "${1:-}" != --by ] || BY=${2:-unknown}
    [ "$kind" != windmill-salt ] || die $REFUSED "the salt cannot be replaced in place: servers and workers of the old and of the new one could not read each other's secrets, and Windmill has no words to write them anew under another. docs/guides/secrets.md says what a leak of it needs."
    [[ $kind && " $(rotation_kinds) " == *" $kind "* ]] || die $USAGE "there is no kind '$kind'; there are: $(rotation_kinds)"
    VERB=rotate
    take_lock rotate "$kind"
    end_crash
    begin_rotation "$kind"
    if "rotate_${kind//-/_}"; then end_rotation "$kind"; else give_up_rotation "$kind"; fi
}

rotating() { # rotating FIELD: of the rotation that has begun and not ended
    [ -f "$STATE/rotating.json" ] || return 0
    jq -r --arg field "$1" '.[$field] // empty' "$STATE/rotating.json"
}

begin_rotation() { # looks at everything first, so that what is refused has changed nothing
    local half before=$STATE/secrets.before
    half=$(rotating kind)
    [ -z "$half" ] || [ "$half" = "$1" ] || die $REFUSED "the rotation of $half is half done. First say: rotate $half"
    [ -n "$(deployed version)" ] || die $REFUSED "nothing serves here yet. A secret that nobody uses is made anew by: host_secrets.sh renew NAME"
    prepare "$(deployed version)" "$RELEASES/$(deployed version)"
    [ -n "$half" ] || require_settled
    [ "$1" != door-token ] || [ -n "$half" ] || grep -qs '^NEXT_DOOR_WINDMILL_TOKEN=' "$ROOT/secrets/secrets.env" ||
        refuse "no new token of the door waits" "Make one in Windmill; send it: secrets take DOOR_WINDMILL_TOKEN."
    preflight ''
    NEW_IMAGE=$(jq -r '.images["platform-windmill"]' "$NEW_DIR/release.json")
    if [ -n "$half" ]; then
        say "rotate: going on with $1; done: $(jq -r '.done | join(" ")' "$STATE/rotating.json")"
        return
    fi
    cp --preserve=mode "$ROOT/secrets/secrets.env" "$before.new" && mv -f "$before.new" "$before"
    jq -n --arg kind "$1" --arg at "$(stamp)" --arg by "$BY" '{kind: $kind, at: $at, by: $by, done: []}' | write_whole "$STATE/rotating.json" ||
        die $REFUSED "the disk takes no more: $STATE/rotating.json cannot be written. Nothing was changed; make room: prune, or delete $ROOT/ballast."
    audit rotation_begun kind "$1"
}

require_settled() { # what waits for a deploy would come along unseen
    local line
    while read -r line; do
        grep -Fqx "$line" "$ROOT/secrets/secrets.env" ||
            refuse "${line%%=*} was changed and does not serve yet" "Deploy the release that serves once more, then rotate."
    done < <(grep '^SECRET_' "$ROOT/release.env")
}

once() { # once STEP WORD...: unless this rotation has done it
    local done_so_far
    ! jq -e --arg step "$1" '.done | index($step)' "$STATE/rotating.json" >/dev/null || return 0
    "${@:2}" || return 1
    case $1 in trust | serve) SERVED=yes ;; esac # known even when it cannot be written
    done_so_far=$(jq --arg step "$1" '.done += [$step]' "$STATE/rotating.json") || return 1
    write_whole "$STATE/rotating.json" <<<"$done_so_far" || no_room "$STATE/rotating.json"
}

listed() { # listed WORD...: the list of secrets is changed by its own program
    secrets_program "$@" >/dev/null || { WHY="host_secrets.sh $* failed" && return 1; }
}

renewed() { # renewed NAME: a new value is listed, unless a run that was cut did that
    [ "$(value_of "$ROOT/secrets/secrets.env" "SECRET_$1")" != "$(value_of "$STATE/secrets.before" "SECRET_$1")" ] || listed renew "$1"
}

# --- The kinds

rotate_windmill_database() { # two logins take turns: both are good while servers and workers change
    once renew renewed WINDMILL_DATABASE_URL || return 1
    once serve serve_anew || return 1
    once drop drop_other_login
}

rotate_superadmin() { # each server knows the one it was started with
    once renew renewed WINDMILL_SUPERADMIN || return 1
    once serve serve_anew
}

rotate_database_tls() { # first clients trust two authorities, then the certificate changes, then they trust the new one alone
    once overlap listed authority begin || return 1
    once trust serve_anew || return 1
    once certificate listed authority certificate || return 1
    once show show_certificate || return 1
    once single listed authority end || return 1
    once serve serve_anew
}

rotate_door_database() { # the door goes, its password changes, it comes; Windmill's routes take webhooks meanwhile
    once renew renewed DOOR_DATABASE_PASSWORD || return 1
    once serve change_password door door-password DOOR_DATABASE_PASSWORD
}

rotate_door_token() { # the old one holds until whoever made it takes it away
    once next listed next DOOR_WINDMILL_TOKEN || return 1
    once serve serve_beside door
}

rotate_backup_database() { # a copy that is being made just then is made again by its next turn
    once renew renewed BACKUP_DATABASE_PASSWORD || return 1
    once serve change_password backup backup-password BACKUP_DATABASE_PASSWORD
}

rotate_database_superuser() { # no service knows it
    once renew renewed DATABASE_SUPERUSER_PASSWORD || return 1
    look_at_list || return 1
    once serve let_in superuser-password SECRET_DATABASE_SUPERUSER_PASSWORD || return 1
    now_serves
}

# --- What they share

look_at_list() { environment_of "$NEW_DIR" >"$NEW_ENV" || no_room "$NEW_ENV"; }

now_serves() { # what was started with the list as it is now is what is deployed
    SERVED=yes
    write_whole "$NEW_DIR/release.env" <"$NEW_ENV" || no_room "$NEW_DIR/release.env" || return 1
    write_whole "$ROOT/release.env" <"$NEW_ENV" || no_room "$ROOT/release.env"
}

serve_anew() { # the release that serves, beside itself with the listed secrets; then it takes the traffic
    prepare "$(deployed version)" "$RELEASES/$(deployed version)"
    look_at_list || return 1
    ! serves_already || return 0
    RUN=${RUN%+*}+$(date +%s%N) # a rotation may serve twice, and a crash must tell which of the two was cut
    audit start version "$NEW" from "$OLD" verb "$VERB"
    if validate_proxy && steps; then
        finish
        return 0
    fi
    local why=$WHY
    audit failed version "$NEW" phase "$PHASE" reason "$why"
    if ! put_back; then
        audit broken version "$NEW" to "$OLD" reason "$WHY"
        say "rotate: failed in $PHASE: $why; the way back failed too: $WHY. Wake somebody; see docs/guides/rollback.md."
        exit $BROKEN
    fi
    audit rolled_back version "$NEW" to "$OLD" reason "$why"
    rm -f "$STATE/deploying.json"
    WHY=$why
    return 1
}

serve_beside() { # serve_beside SERVICE: it alone starts anew
    look_at_list || return 1
    if renew compose "$1"; then
        now_serves
        return
    fi
    local why=$WHY
    compose_old up --detach --no-deps "$1" >/dev/null 2>&1 || why="$why; the old $1 cannot be started either"
    WHY=$why
    return 1
}

change_password() { # change_password SERVICE VERB NAME: of a login that has one, so nobody of that name is there meanwhile
    local why new
    look_at_list || return 1
    [ "$1" != door ] || compose_old stop "$1" >/dev/null 2>&1 || { WHY="$1 does not stop" && return 1; }
    if let_in "$2" "SECRET_$3" && serve_beside "$1"; then return 0; fi
    why=$WHY new=$NEW_ENV NEW_ENV=$ROOT/release.env
    let_in "$2" "SECRET_$3" || why="$why; and the old password cannot be set again"
    NEW_ENV=$new
    compose_old up --detach --no-deps "$1" >/dev/null 2>&1 || why="$why; and the old $1 cannot be started"
    WHY=$why
    return 1
}

show_certificate() {
    look_at_list || return 1
    place_certificate "$NEW_ENV" || { WHY="the new certificate cannot be placed" && return 1; }
    if shows_certificate "$NEW_ENV"; then
        now_serves
        return
    fi
    place_certificate "$ROOT/release.env"
    return 1
}

drop_other_login() { # of windmill_a and windmill_b the one that nobody uses any more
    local one used sessions
    used=$(login_of "$(cat "$(value_of "$ROOT/release.env" SECRET_WINDMILL_DATABASE_URL)")")
    look_at_list || return 1
    for one in windmill_a windmill_b; do
        [ "$one" != "$used" ] || continue
        for _ in {1..50}; do
            sessions=$(compose exec -T postgres platform-postgres sessions-of "$one" 2>/dev/null) || sessions=
            if [ "$sessions" = 0 ]; then break; fi
            sleep 0.2
        done
        [ "$sessions" = 0 ] || { WHY="$one still has ${sessions:-an unknown number of} sessions: somebody uses it beside this release" && return 1; }
        compose exec -T postgres platform-postgres drop-login "$one" >/dev/null 2>&1 || { WHY="the database does not let $one go" && return 1; }
        say "rotate: $used is the login now, $one is gone"
    done
}

end_rotation() {
    listed forget || say "warning: old files stay: $WHY"
    rm -f "$STATE/rotating.json" "$STATE/secrets.before"
    audit rotated kind "$1" seconds "$SECONDS"
    forget_scratch
    if listed bundle; then say "bundle: made; fetch it"; else say "warning: no bundle was made, and the last one holds the old secret: $WHY"; fi
    say "rotate: $1 is replaced, ${SECONDS} s"
}

give_up_rotation() { # before anything serves with the new one the old list is put back; after it a repeat goes on
    local why=$WHY
    audit rotation_failed kind "$1" reason "$why"
    forget_scratch
    if [ -n "$SERVED" ] || jq -e '.done | index("trust") or index("serve")' "$STATE/rotating.json" >/dev/null; then
        say "rotate: $1 is half done: $why. What serves is well; when that is put right, say it again: rotate $1"
        exit $FAILED
    fi
    { cp --preserve=mode "$STATE/secrets.before" "$ROOT/secrets/secrets.env.new" && mv -f "$ROOT/secrets/secrets.env.new" "$ROOT/secrets/secrets.env"; } ||
        die $FAILED "$1 is half done: $why; and the old list cannot be put back. Make room, then say it again: rotate $1"
    rm -f "$STATE/rotating.json" "$STATE/secrets.before"
    listed forget || true
    say "rotate: failed: $why. The old secret serves, as before"
    exit $FAILED
}
