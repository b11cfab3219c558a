
# --- The steps of a deploy, and the way back when one fails.

pull() { # all images by digest at once, before anything is touched; those that are here need no registry
    local image pid
    local -A pulls=()
    # shellcheck disable=SC2046 # a line each, none with a space
    if docker image inspect --format '{{.Id}}' $(images_of "$NEW_DIR") >/dev/null 2>&1; then return; fi
    while read -r image; do
        if image_id "$image" >/dev/null; then continue; fi
        say "pull: $image"
        PULLED=yes
        docker pull --quiet "$image" >/dev/null &
        pulls[$!]=$image
    done < <(images_of "$NEW_DIR")
    for pid in "${!pulls[@]}"; do
        wait "$pid" ||
            refuse "the image ${pulls[$pid]} cannot be had" "Is the registry up, is this host logged in, is the digest still there?"
    done
    if [ "$PROBLEMS" -gt 0 ]; then
        say "pull: nothing was changed"
        audit refused version "$NEW" reason "an image cannot be had"
        forget_scratch
        exit $REFUSED
    fi
}

begin_behind() { # on the way back, beside the candidate: to what has proved itself before, and traffic waits for neither
    mapfile -t BEGUN < <(present "${BEHIND[@]}")
    [ "${#BEGUN[@]}" -gt 0 ] || return 0
    bring_up compose "${BEGUN[@]}" &
    BESIDE=$! BESIDE_AT=$SECONDS
}

ended_behind() { # what was begun beside the candidate; fails when it failed, and when nothing was
    local beside=$BESIDE
    BESIDE=
    [ -n "$beside" ] && wait "$beside"
}

renew_behind() { # door, workers, backup; each ends its work (stop_grace_period) before it goes
    if ended_behind; then
        renew compose caddy && judge "$BESIDE_AT" "${BEGUN[@]}"
        return
    fi
    if [ "$VERB" = rollback ]; then
        renew compose caddy "${BEHIND[@]}"
        return
    fi
    if [ -n "$OLD" ]; then
        renew compose worker_webhook || return 1 # panels wait for these: they go while the others still work
    fi
    renew compose "${BEHIND[@]}"
}

present() { # present SERVICE...: those that the release has, a line each
    local service
    for service in "$@"; do ! has_service "$service" || printf '%s\n' "$service"; done
}

bring_up() { # bring_up COMPOSE SERVICE...: as they should be; WHY ends in what Compose said
    local said how=$1
    shift
    said=$("$how" up --detach --no-deps "$@" 2>&1) || { WHY="$* cannot be started: $(tail -n 1 <<<"$said" | cut -c1-300)" && return 1; }
}

renew() { # renew COMPOSE SERVICE...: together, then each is judged
    local how=$1 began=$SECONDS
    local -a there
    shift
    mapfile -t there < <(present "$@")
    [ "${#there[@]}" = 0 ] || { bring_up "$how" "${there[@]}" && judge "$began" "${there[@]}"; }
}

judge() { # judge BEGAN SERVICE...: all of them are well
    local began=$1
    shift
    wait_for_container "$@" && say "renewed: $*, $((SECONDS - began)) s"
}

watch_candidate() { # a release that starts well and then falls is not a good one
    local until=$((SECONDS + $(setting WATCH_S 10)))
    # Nothing to go back to, or a release that has proved itself before: a look is enough.
    if [ -z "$OLD" ] || [ "$VERB" = rollback ]; then until=0; fi
    while [ "$SECONDS" -lt "$until" ]; do
        WHY=$(server_complaint "server_$NEW_COLOR" "$NEW_IMAGE" "$NEW_DIR" "$(worker_count)")
        [ -z "$WHY" ] || ! is_final "$WHY" || return 1
        sleep 0.5
    done
    wait_for_server "server_$NEW_COLOR" "$NEW_IMAGE" "$NEW_DIR" "$(worker_count)"
}

retire() { # retire COMPOSE COLOR
    "$1" rm --stop --force "server_$2" >/dev/null 2>&1
}

steps() { # everything from the first change to the point of return; WHY and PHASE say where it stopped
    local service
    PHASE=backup
    mark backup || return 1
    backup || { WHY="the backup failed" && return 1; }
    PHASE=database
    mark database || return 1
    if has_service postgres; then
        place_certificate "$NEW_ENV" || { WHY="the database's certificate cannot be placed" && return 1; }
        bring_up compose postgres || return 1
        wait_for_container postgres || return 1
        known_logins || let_everybody_in || return 1
    fi
    if has_service migrate; then
        compose run --rm --no-deps -T migrate || { WHY="the migration failed" && return 1; }
    fi
    PHASE=candidate
    mark candidate || return 1
    service=server_$NEW_COLOR
    say "candidate: $service"
    [ "$VERB" != rollback ] || begin_behind
    [ -z "$(container_of "$service")" ] || compose rm --stop --force "$service" >/dev/null 2>&1 || true
    bring_up compose "$service" || return 1
    wait_for_server "$service" "$NEW_IMAGE" "$NEW_DIR" "$([ -n "$OLD" ] && echo 1 || echo 0)" || return 1
    say "candidate: healthy"
    PHASE=traffic
    mark traffic || return 1
    place_proxy "$NEW_DIR" "$NEW_COLOR" || return 1
    if has_service caddy && [ "$VERB" != rollback ]; then # on the way back the one that runs is renewed with the rest
        bring_up compose caddy || return 1
        wait_for_container caddy || return 1
    fi
    smoke || return 1
    PHASE=behind
    mark behind || return 1
    renew_behind || return 1
    watch_candidate || return 1
    begin_switch
}

begin_switch() { # the last that may fail and be taken back
    PHASE=switch
    mark switch || return 1
    write_whole "$NEW_DIR/release.env" <"$NEW_ENV" || no_room "$NEW_DIR/release.env"
}

known_logins() { # on the way back, when what serves logs in with the same files
    [ "$VERB" = rollback ] && cmp -s <(grep _DATABASE_ "$NEW_ENV") <(grep _DATABASE_ "$ROOT/release.env")
}

let_everybody_in() {
    let_in windmill-login SECRET_WINDMILL_DATABASE_URL || return 1
    let_in superuser-password SECRET_DATABASE_SUPERUSER_PASSWORD || return 1
    let_in backup-password SECRET_BACKUP_DATABASE_PASSWORD || return 1
    [ -n "$OLD" ] || let_in door-password SECRET_DOOR_DATABASE_PASSWORD # later: rotate door-database
}

finish() { # past the point of return: the old colour goes, the state is switched
    if [ -n "$OLD_COLOR" ]; then
        retire compose_old "$OLD_COLOR" || say "the old server would not go; it gets no traffic"
    fi
    settle || end_unwritten
    audit ok version "$NEW" from "$OLD" color "$NEW_COLOR" seconds "$((SECONDS - BEGAN))" verb "$VERB"
    rm -f "$STATE/deploying.json"
    say "$VERB: $NEW serves (server_$NEW_COLOR), $((SECONDS - BEGAN)) s"
}

end_unwritten() { # the new one serves and the old server is gone: that it is so could not be written
    forget_scratch
    say "$VERB: $NEW serves (server_$NEW_COLOR), but $WHY. Make room (prune, or delete $ROOT/ballast), then: resume."
    exit $BROKEN
}

put_back() { # what served before, whole; the candidate goes. Fails when that cannot be had.
    local service failed=
    say "going back: $WHY"
    ended_behind || true # it and the next would take each other's containers away
    if [ -z "$OLD" ]; then # nothing served before: nothing is left running but the database, which keeps its data
        for service in caddy "${BEHIND[@]}" "server_$NEW_COLOR"; do
            ! has_service "$service" || compose rm --stop --force "$service" >/dev/null 2>&1 || true
        done
        return 0
    fi
    SERVICES=$(compose_old --profile '*' config --services)
    bring_up compose_old "server_$OLD_COLOR" || failed=$WHY
    if [ "$PHASE" != backup ] && has_service postgres; then
        place_certificate "$ROOT/release.env" || failed="the database's old certificate cannot be placed"
        bring_up compose_old postgres || failed=$WHY
    fi
    wait_for_server "server_$OLD_COLOR" "$(old_image)" "$RELEASES/$OLD" 0 || failed=$WHY
    case $PHASE/$VERB in
        traffic/* | behind/* | switch/* | candidate/rollback)
            place_proxy "$RELEASES/$OLD" "$OLD_COLOR" || failed=$WHY
            renew compose_old caddy "${BEHIND[@]}" || failed=$WHY
            ;;
    esac
    [ "$NEW_COLOR" = "$OLD_COLOR" ] || retire compose "$NEW_COLOR" || true
    [ -z "$failed" ] || { WHY=$failed && return 1; }
}

old_image() { jq -r '.images["platform-windmill"]' "$RELEASES/$OLD/release.json"; }

end_badly() { # the deploy failed: go back, say so, and end with the code that says whether the way back worked
    local why=$WHY phase=$PHASE
    audit failed version "$NEW" phase "$phase" reason "$why"
    if put_back; then
        audit rolled_back version "$NEW" to "${OLD:-nothing}" reason "$why"
        rm -f "$STATE/deploying.json"
        forget_scratch
        say "$VERB: failed in $phase: $why. ${OLD:-Nothing} serves, as before. $(schema_note)"
        exit $FAILED
    fi
    audit broken version "$NEW" to "$OLD" reason "$WHY"
    forget_scratch
    say "$VERB: failed in $phase: $why; the way back failed too: $WHY. Wake somebody; see docs/guides/rollback.md."
    exit $BROKEN
}

schema_note() {
    [ -n "$OLD" ] && [ "$(of_release "$NEW_DIR" schema_head)" != "$(of_release "$RELEASES/$OLD" schema_head)" ] || return 0
    echo "The candidate may have moved the schema to $(of_release "$NEW_DIR" schema_head); $OLD was made for $(of_release "$RELEASES/$OLD" schema_head)."
}

prepare() { # prepare VERSION DIR: names of both sides
    NEW=$1 NEW_DIR=$2 OLD=$(deployed version) OLD_COLOR=$(deployed color) PHASE=preflight WHY='' BACKUP_AT='' PULLED='' BESIDE=''
    case $OLD_COLOR in
        blue) NEW_COLOR=green ;;
        *) NEW_COLOR=blue ;;
    esac
    BEGAN=$SECONDS
}

carry_out() { # carry_out NOW: the candidate that `prepare` named
    preflight "$1"
    NEW_IMAGE=$(jq -r '.images["platform-windmill"]' "$NEW_DIR/release.json")
    if [ -n "$DRY" ]; then
        show_difference
        forget_scratch
        exit $OK
    fi
    if serves_already; then
        say "$VERB: $NEW serves already, with the same files and values; nothing to do"
        forget_scratch
        exit $OK
    fi
    pull
    [ -z "$PULLED" ] || check_room "$NEW_DIR"
    check_proxy
    if [ "$PROBLEMS" -gt 0 ]; then
        audit refused version "$NEW" reason "${WHY:-there is no room}"
        finish_preflight
    fi
    audit start version "$NEW" from "$OLD" verb "$VERB"
    if ! steps; then end_badly; fi
    finish
    forget_scratch
    [ "$VERB" = rollback ] || prune "$(setting KEEP_RELEASES 5)" # a way back brings nothing that was not counted
}

serves_already() {
    [ "$NEW" = "$OLD" ] && cmp -s "$NEW_ENV" "$ROOT/release.env" &&
        [ -z "$(server_complaint "server_$OLD_COLOR" "$NEW_IMAGE" "$NEW_DIR" "$(worker_count)")" ]
}

show_difference() { # what a deploy would do; nothing is done
    local name ref before
    say "dry run: ${OLD:-nothing} -> $NEW, server_$NEW_COLOR"
    while IFS=$'\t' read -r name ref; do
        before=
        [ -z "$OLD" ] || before=$(jq -r --arg name "$name" '.images[$name] // empty' "$RELEASES/$OLD/release.json")
        if [ "$before" = "$ref" ]; then
            say "  same     $name"
        else
            say "  changes  $name: ${before##*@} -> ${ref##*@}$(image_id "$ref" >/dev/null || echo ' (to be pulled)')"
        fi
    done < <(jq -r '.images | to_entries[] | "\(.key)\t\(.value)"' "$NEW_DIR/release.json")
    [ -z "$OLD" ] || say "  schema   $(of_release "$RELEASES/$OLD" schema_head) -> $(of_release "$NEW_DIR" schema_head)"
    say "dry run: nothing was changed"
}

command_deploy() {
    local now='' version=${1:-}
    require_version "$version"
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --dry-run) DRY=yes ;;
            --no-backup) NO_BACKUP=yes ;;
            --now) now=${2:-} && shift ;;
            --by) BY=${2:-unknown} && shift ;;
            --dir) DIRECTORY=$2 && shift ;;
            *) die $USAGE "deploy knows no '$1'" ;;
        esac
        shift
    done
    VERB=deploy
    if [ -z "$DRY" ]; then
        take_lock deploy "$version"
        end_crash
    fi
    prepare "$version" "${DIRECTORY:-$RELEASES/$version}"
    require_backup
    carry_out "$now"
}
