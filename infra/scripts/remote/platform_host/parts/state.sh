
# --- Releases on this host, what is deployed, and the lock.

use_root() {
    STATE=$ROOT/state RELEASES=$ROOT/releases PROXY=$ROOT/proxy RUNS=$ROOT/state/runs
}

require_version() {
    [[ ${1:-} =~ $VERSION_FORM ]] || die $USAGE "'${1:-}' is not a version. Give one such as 1.4.2."
}

deployed() { # deployed FIELD: empty before the first deploy
    [ -f "$STATE/deployed.json" ] || return 0
    jq -r --arg field "$1" '.[$field] // empty' "$STATE/deployed.json"
}

of_release() { # of_release DIR FIELD
    jq -r --arg field "$2" '.[$field] // empty' "$1/release.json"
}

marked() { # marked FIELD: of the deploy that has begun and not ended
    jq -r --arg field "$1" '.[$field] // empty' "$STATE/deploying.json"
}

mark() { # mark PHASE: how far this deploy has come, so that a crash can be told and ended
    jq -n --arg version "$NEW" --arg from "$OLD" --arg color "$NEW_COLOR" --arg old_color "$OLD_COLOR" \
        --arg phase "$1" --arg run "$RUN" --arg at "$(stamp)" --arg verb "$VERB" --arg by "$BY" \
        '{version: $version, from: $from, color: $color, old_color: $old_color, phase: $phase, run: $run,
          at: $at, verb: $verb, by: $by}' | write_whole "$STATE/deploying.json" || no_room "$STATE/deploying.json"
}

settle() { # the one switch: what is deployed, in one rename; then the copies
    local previous=$OLD
    if [ "$NEW" = "$OLD" ]; then # other values or secrets: what it is gone back to stays what it was
        previous=$(deployed previous) BACKUP_AT=${BACKUP_AT:-$(deployed backup_at)}
    fi
    jq -n --arg version "$NEW" --arg previous "$previous" --arg color "$NEW_COLOR" --arg at "$(stamp)" --arg run "$RUN" \
        --arg by "$BY" --arg backup_at "${BACKUP_AT:-}" \
        '{version: $version, previous: $previous, color: $color, at: $at, run: $run, by: $by, backup_at: $backup_at}' |
        write_whole "$STATE/deployed.json" || no_room "$STATE/deployed.json" || return 1
    write_copies
}

write_copies() {
    write_whole "$ROOT/release.env" <"$RELEASES/$(deployed version)/release.env" || no_room "$ROOT/release.env" || return 1
    deployed version | write_whole "$STATE/current" || no_room "$STATE/current" || return 1
    deployed previous | write_whole "$STATE/previous" || no_room "$STATE/previous" || return 1
    deployed color | write_whole "$STATE/color" || no_room "$STATE/color"
}

environment_of() { # environment_of DIR: what Compose is given: the host's own values, paths of secrets, digests
    local file
    for file in "$ROOT/host.env" "$ROOT/secrets/secrets.env"; do
        [ ! -f "$file" ] || grep -Ev '^[[:space:]]*(#|$)' "$file" || true
    done
    printf 'PLATFORM_ROOT=%s\nRELEASE_DIR=%s\nRELEASE_VERSION=%s\n' "$ROOT" "$1" "$(of_release "$1" version)"
    jq -r '.images | to_entries[] |
        "\(.key | ltrimstr("platform-") | ascii_upcase | gsub("-"; "_"))_IMAGE=\(.value)"' "$1/release.json"
}

setting() { # setting NAME DEFAULT: a value of the host's own file
    local value
    value=$(sed -n "s/^$1=//p" "$ROOT/host.env" 2>/dev/null | tail -n 1)
    printf '%s' "${value:-$2}"
}

releases_here() {
    local found
    found=$(find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%f ' 2>/dev/null || true)
    printf '%s' "${found:-none}"
}

# Compose with the candidate's files, and with those of what is deployed.
compose() {
    docker compose --project-name "$PROJECT" --env-file "$NEW_ENV" --file "$NEW_DIR/compose.prod.yml" "$@"
}

compose_old() {
    docker compose --project-name "$PROJECT" --env-file "$ROOT/release.env" \
        --file "$RELEASES/$OLD/compose.prod.yml" "$@"
}

has_service() { grep -qx "$1" <<<"$SERVICES"; }

images_of() { jq -r '.images[]' "$1/release.json"; }

image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null; }

container_of() { # container_of SERVICE, running or not
    containers_of "$1" | sed -n '1s/.* //p'
}

containers_of() { # containers_of SERVICE...: a line "caddy 3f2a…" each, the newest first, of those that are there
    docker ps --all --no-trunc --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.oneoff=False \
        --format '{{.Label "com.docker.compose.service"}} {{.ID}}' | grep -E "^($(tr ' ' '|' <<<"$*")) " || true
}

take_lock() { # the kernel gives it back when this program ends, however it ends
    exec 9>>"$STATE/deploy.lock"
    if ! flock --wait 2 9; then # whoever only looks has it for an instant
        die $LOCKED "another deploy is running: $(tr '\n' ' ' <"$STATE/deploy.lock"). Wait for it; see status."
    fi
    : >"$STATE/deploy.lock"
    printf '%s of %s by %s, process %s, since %s%s\n' "$1" "${2:--}" "$BY" "$$" "$(stamp)" "$([ ! -f "$RUNS/$RUN.log" ] || echo ", run $RUN")" >&9
}

lock_is_free() { flock --nonblock "$STATE/deploy.lock" true 2>/dev/null; }
