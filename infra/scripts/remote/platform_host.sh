#!/bin/bash
# The platform's program on its host: it looks, deploys, goes back, resumes, prunes and reports.
#
#   platform_host.sh [--root DIR] COMMAND [WORD...]
#
#   preflight [--release V] [--now EPOCH]   look, and change nothing
#   deploy V [--dry-run] [--no-backup] [--now EPOCH] [--by NAME]
#   rollback [--to V] [--despite-schema] [--dry-run] [--by NAME]
#   resume                                  end what a crash left half done: back, or forward past the switch
#   status [--json]                         what serves, and how it is
#   prune [--keep N]                        forget old releases and the images that only they used
#   logs SERVICE [LINES]
#   gate LINE                               the forced command of the deploy key: LINE is what the client said
#   receive V SHA256 <bundle                put a release directory in place, complete or not at all
#   try V SHA256 [--now EPOCH] <bundle      a dry run of a release that is not put in place
#   start deploy|rollback|resume ...        the same, detached from the connection; prints the run's name
#   follow RUN [BYTE]                       a run's log from that byte on; ends with the run's own exit code
#
# Exit codes: 0 done; 1 failed, and what served before serves; 64 usage; 70 refused before anything was changed;
# 75 another deploy is running; 80 failed, and the way back failed too: wake somebody.
#
# What is true stands in ROOT/state/deployed.json, replaced by one rename. state/current, previous and color are
# copies for people and scripts. Values come in as words and files; none is ever put into a shell's text.
set -Eeuo pipefail
umask 027
export LC_ALL=C

readonly OK=0 FAILED=1 USAGE=64 REFUSED=70 LOCKED=75 BROKEN=80
readonly ENGINE_FLOOR=25.0 COMPOSE_FLOOR=2.24 # what compose.prod.yml needs of both
readonly VERSION_FORM='^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$'
readonly WORD_FORM='^(--)?[A-Za-z0-9][A-Za-z0-9._:@+-]*$'
readonly PROJECT=platform PORT=8000
# In the order they are renewed: the door first, so that nothing of a webhook waits for the workers.
readonly BEHIND=(door worker_webhook worker_default worker_ops backup)

PROGRAM=$(readlink -f "$0")
ROOT=/opt/platform
RUN=${PLATFORM_RUN:-}
BY=unknown
DRY=

# --- Words ---------------------------------------------------------------------------------------------------

stamp() { date -u +%Y-%m-%dT%H:%M:%SZ; }

say() { printf '%s  %s\n' "$(stamp)" "$*"; }

die() { # die CODE TEXT
    printf 'platform_host: %s\n' "$2" >&2
    exit "$1"
}

# Each refusal names the thing, the reason and the way out; all are shown before the program ends.
PROBLEMS=0
refuse() { # refuse REASON WAY-OUT
    PROBLEMS=$((PROBLEMS + 1))
    printf '%s  refused: %s. %s\n' "$(stamp)" "$1" "$2"
}

audit() { # audit EVENT [NAME VALUE]...
    local event=$1 line
    shift
    line=$(jq -cn --arg at "$(stamp)" --arg event "$event" --arg run "$RUN" --arg by "$BY" \
        '{at: $at, event: $event, run: $run, by: $by} + ([$ARGS.positional | _nwise(2) | {(.[0]): .[1]}] | add // {})' \
        --args -- "$@")
    printf '%s\n' "$line" >>"$STATE/audit.jsonl"
    sync "$STATE/audit.jsonl"
}

write_whole() { # write_whole FILE <content: the old content or the new, never a part
    local staging
    staging=$(mktemp "$1.XXXXXX")
    cat >"$staging"
    chmod 0644 "$staging"
    sync "$staging"
    mv -f "$staging" "$1"
    sync "$(dirname "$1")"
}

at_least() { # at_least HAVE FLOOR, as versions
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Nothing that outlives this program may hold the lock: descriptor 9 is closed for all that is started.
docker() { command docker "$@" 9>&-; }

# --- Releases and state --------------------------------------------------------------------------------------

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
          at: $at, verb: $verb, by: $by}' | write_whole "$STATE/deploying.json"
}

settle() { # the one switch: what is deployed, in one rename; then the copies
    jq -n --arg version "$NEW" --arg previous "$OLD" --arg color "$NEW_COLOR" --arg at "$(stamp)" --arg run "$RUN" \
        --arg by "$BY" --arg backup_at "${BACKUP_AT:-}" \
        '{version: $version, previous: $previous, color: $color, at: $at, run: $run, by: $by, backup_at: $backup_at}' |
        write_whole "$STATE/deployed.json"
    write_copies
}

write_copies() {
    deployed version | write_whole "$STATE/current"
    deployed previous | write_whole "$STATE/previous"
    deployed color | write_whole "$STATE/color"
    write_whole "$ROOT/release.env" <"$RELEASES/$(deployed version)/release.env"
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
    docker ps --all --quiet --no-trunc --filter "label=com.docker.compose.project=$PROJECT" \
        --filter "label=com.docker.compose.service=$1" --filter label=com.docker.compose.oneoff=False | head -n 1
}

# --- The lock ------------------------------------------------------------------------------------------------

take_lock() { # the kernel gives it back when this program ends, however it ends
    exec 9>>"$STATE/deploy.lock"
    if ! flock --nonblock 9; then
        die $LOCKED "another deploy is running: $(tr '\n' ' ' <"$STATE/deploy.lock"). Wait for it; see status."
    fi
    : >"$STATE/deploy.lock"
    printf '%s of %s by %s, process %s, since %s\n' "$1" "${2:--}" "$BY" "$$" "$(stamp)" >&9
}

lock_is_free() { flock --nonblock "$STATE/deploy.lock" true 2>/dev/null; }

# --- Looking before anything is changed ----------------------------------------------------------------------

check_system() {
    local tool
    [ "$(uname -s)" = Linux ] || refuse "this is $(uname -s), not Linux" "Use a Debian or Ubuntu host."
    case $(uname -m) in
        x86_64 | aarch64) ;;
        *) refuse "the processor is $(uname -m)" "Images are built for x86_64 and aarch64." ;;
    esac
    for tool in jq curl flock ss tar sha256sum; do
        command -v "$tool" >/dev/null || refuse "$tool is not installed" "Run: wmctl host bootstrap."
    done
}

check_docker() {
    local engine compose
    if ! type -P docker >/dev/null; then # not the function above
        refuse "there is no Docker" "Run: wmctl host bootstrap."
        return
    fi
    if ! engine=$(docker version --format '{{.Server.Version}}' 2>/dev/null); then
        refuse "the Docker engine does not answer" "See: systemctl status docker."
        return
    fi
    at_least "$engine" "$ENGINE_FLOOR" ||
        refuse "Docker $engine is older than $ENGINE_FLOOR" "Run: wmctl host bootstrap."
    compose=$(docker compose version --short 2>/dev/null || true)
    compose=${compose#v}
    case $compose in
        [0-9]*) at_least "$compose" "$COMPOSE_FLOOR" ||
            refuse "Compose $compose is older than $COMPOSE_FLOOR" "Run: wmctl host bootstrap." ;;
        # A Compose built from source knows no number: then what it can do decides.
        ?*) docker compose up --help 2>/dev/null | grep -q -- --wait-timeout ||
            refuse "this Compose cannot wait for health" "Run: wmctl host bootstrap." ;;
        *) refuse "there is no Compose v2 (docker compose)" "Run: wmctl host bootstrap." ;;
    esac
}

check_room() { # check_room DIR: the images twice, and the database once more for its backup
    local need_mb free_mb inodes memory_mb database=0 where container
    where=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || echo /)
    [ -d "$where" ] || where=/
    container=$(container_of postgres)
    if [ -n "$container" ]; then
        database=$(docker exec "$container" sh -c 'du -sm "${PGDATA:-/var/lib/postgresql}" | cut -f1' 2>/dev/null || echo 0)
    fi
    need_mb=$(($(jq -r '.image_mb // 1000' "$1/release.json") * 2 + ${database:-0}))
    need_mb=$(setting DISK_FREE_MIN_MB "$need_mb")
    free_mb=$(df --output=avail -BM "$where" | tail -n 1 | tr -dc 0-9)
    [ "$free_mb" -ge "$need_mb" ] ||
        refuse "$where has $free_mb MB free, $need_mb MB are needed" "Run prune, or delete $ROOT/ballast and then find what grew."
    inodes=$(df --output=iavail "$where" | tail -n 1 | tr -dc 0-9)
    [ -z "$inodes" ] || [ "$inodes" = 0 ] || [ "$inodes" -ge 50000 ] ||
        refuse "$where has $inodes inodes left" "Delete files there; images are many small ones."
    memory_mb=$(awk '/MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
    [ "$memory_mb" -ge "$(setting MEMORY_FREE_MIN_MB 512)" ] ||
        refuse "only $memory_mb MB of memory are free, and two servers run side by side for a while" "Use a larger host, or add swap."
}

setting() { # setting NAME DEFAULT: a value of the host's own file
    local value
    value=$(sed -n "s/^$1=//p" "$ROOT/host.env" 2>/dev/null | tail -n 1)
    printf '%s' "${value:-$2}"
}

check_ports() {
    local port holder
    for port in 80 443; do
        holder=$(ss -Hltnp "sport = :$port" | head -n 1)
        [ -n "$holder" ] || continue
        [ -z "$(docker ps --quiet --filter "publish=$port" --filter "label=com.docker.compose.project=$PROJECT")" ] || continue
        holder=$(sed -n 's/.*users:((\"\([^"]*\)\",pid=\([0-9]*\).*/\1, process \2/p' <<<"$holder")
        refuse "port $port is taken by ${holder:-something else}" "Stop it, and see that it does not come back at boot."
    done
}

check_names() { # every public name leads here, or the certificate could not be had
    local name address addresses here found
    here=" $(ip -o addr show | awk '{sub(/\/.*/, "", $4); print $4}' | tr '\n' ' ') $(setting PUBLIC_ADDRESSES '') "
    while read -r name; do
        found=
        addresses=$(getent ahosts "$name" | awk '{print $1}' | sort -u | tr '\n' ' ') || true # a name may lead nowhere
        for address in $addresses; do
            case $here in *" $address "*) found=yes ;; esac
        done
        [ -n "$found" ] || refuse "$name leads to ${addresses:-nowhere }and not to this host" \
            "Correct its DNS record, or add this host's public address to PUBLIC_ADDRESSES in host.env."
    done < <(sed -n 's/^DOMAIN_[A-Z]*=//p' "$ROOT/host.env" | sort -u)
}

check_clock() { # check_clock EPOCH, of the client
    local off
    [[ ${1:-} =~ ^[0-9]{9,11}$ ]] || return 0
    off=$(($(date +%s) - $1))
    [ "${off#-}" -le 120 ] ||
        refuse "this host's clock and yours differ by ${off#-} s" "Set the wrong one right (here: timedatectl); certificates and signatures depend on it."
}

check_secrets() { # those that the compose file names: there, not empty, root's own, and nobody else's to read
    local file mode owner
    while read -r file; do
        [ -n "$file" ] || continue
        if [ ! -s "$file" ]; then
            refuse "the secret $file is missing or empty" "Put it there: docs/guides/secrets.md."
            continue
        fi
        mode=$(stat -c %a "$file") owner=$(stat -c %u "$file")
        case $mode in *0) ;; *) refuse "everybody can read the secret $file (mode $mode)" "Run: chmod 0440 $file, then rotate it." ;; esac
        [ "$owner" = 0 ] || refuse "the secret $file belongs to user $owner" "Run: chown root:10001 $file."
    done < <(compose config --format json 2>/dev/null | jq -r '.secrets // {} | .[] | .file // empty')
}

check_login() { # a new password under the login in use would shut out the server that serves
    local new old
    new=$(cat "$(value_of "$NEW_ENV" SECRET_WINDMILL_DATABASE_URL)" 2>/dev/null || true)
    old=$(cat "$(value_of "$ROOT/release.env" SECRET_WINDMILL_DATABASE_URL)" 2>/dev/null || true)
    [ -n "$old" ] && [ "$new" != "$old" ] && [ "$(login_of "$new")" = "$(login_of "$old")" ] || return 0
    refuse "the new database address has the login in use, $(login_of "$new"), with another password or place" \
        "Rotate to another login name; both are good while servers change: docs/guides/secrets.md."
}

login_of() { # login_of URL
    local rest=${1#*://}
    printf '%s' "${rest%%:*}"
}

check_release() { # check_release DIR VERSION: complete, unchanged, every image by digest
    local dir=$1 image
    if [ ! -f "$dir/release.json" ]; then
        refuse "release $2 is not on this host" "Send its bundle, or choose one of: $(releases_here)."
        return
    fi
    if ! (cd "$dir" && sha256sum --check --strict --quiet SHA256SUMS >/dev/null 2>&1); then
        refuse "files of release $2 are not as its SHA256SUMS says" "Delete $dir and send the bundle again."
        return
    fi
    [ "$(of_release "$dir" version)" = "$2" ] ||
        refuse "the bundle says it is $(of_release "$dir" version), not $2" "Send the right one."
    while read -r image; do
        [[ $image =~ @sha256:[0-9a-f]{64}$ ]] ||
            refuse "image $image of release $2 has no digest" "Build the release with the pipeline: it writes digests."
    done < <(images_of "$dir")
}

releases_here() {
    local found
    found=$(find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%f ' 2>/dev/null || true)
    printf '%s' "${found:-none}"
}

check_config() {
    local said
    said=$(compose config --quiet 2>&1) ||
        refuse "Compose refuses the release's files: $(tr '\n' ' ' <<<"$said" | cut -c1-300)" "Correct compose.prod.yml or host.env."
}

check_host_values() {
    local file=$ROOT/host.env bad
    if [ ! -f "$file" ]; then
        refuse "$file is missing: it holds this host's names" "Run: wmctl host bootstrap."
        return
    fi
    bad=$(grep -Evn '^[[:space:]]*(#.*)?$|^[A-Z][A-Z0-9_]*=[^`$"'"'"'\\]*$' "$file" | head -n 1 || true)
    [ -z "$bad" ] || refuse "$file, line ${bad%%:*}, is not NAME=value" "Write plain values, without quotes or \$."
}

preflight() { # preflight NOW: all checks of the candidate in NEW_DIR; ends the program when one refuses
    check_system
    check_docker
    [ "$PROBLEMS" = 0 ] || finish_preflight
    check_release "$NEW_DIR" "$NEW"
    check_host_values
    [ "$PROBLEMS" = 0 ] || finish_preflight
    NEW_ENV=$(mktemp "${TMPDIR:-/tmp}/platform-env.XXXXXX")
    environment_of "$NEW_DIR" >"$NEW_ENV"
    check_config
    check_secrets
    check_login
    check_room "$NEW_DIR"
    check_ports
    check_names
    check_clock "${1:-}"
    SERVICES=$(compose --profile '*' config --services 2>/dev/null || true)
    finish_preflight
}

finish_preflight() {
    if [ "$PROBLEMS" -gt 0 ]; then
        say "preflight: $PROBLEMS refused; nothing was changed"
        forget_scratch
        exit $REFUSED
    fi
    say "preflight: fine"
}

forget_scratch() {
    case ${NEW_ENV:-} in "${TMPDIR:-/tmp}"/platform-env.*) rm -f "$NEW_ENV" ;; esac
}

# --- Health --------------------------------------------------------------------------------------------------

address_of() { # address_of CONTAINER: the first of its networks; the host reaches internal ones too
    docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$1" | awk '{print $1}'
}

ask() { # ask ADDRESS PATH: the body, whatever the status
    curl --silent --noproxy '*' --max-time 5 "http://$1:$PORT$2"
}

condition() { # condition CONTAINER: "running 0 healthy": state, restarts, health
    docker inspect --format \
        '{{.State.Status}} {{.RestartCount}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' "$1"
}

# WHY a server is not to be trusted yet; empty when it is.
server_complaint() { # server_complaint SERVICE IMAGE DIR WORKERS
    local container state restarts health body version wanted
    container=$(container_of "$1")
    [ -n "$container" ] || { echo "there is no container of $1" && return; }
    read -r state restarts health < <(condition "$container")
    [ "$state" = running ] || { echo "$1 is $state: $(last_words "$container")" && return; }
    [ "$restarts" = 0 ] || { echo "$1 crashed and was started again $restarts times: $(last_words "$container")" && return; }
    [ "$health" != unhealthy ] || { echo "$1 is unhealthy by its own check" && return; }
    [ "$(docker inspect --format '{{.Image}}' "$container")" = "$(image_id "$2")" ] ||
        { echo "$1 does not run the image of the release" && return; }
    body=$(ask "$(address_of "$container")" /api/health/status) || { echo "$1 does not answer yet" && return; }
    jq -e . >/dev/null 2>&1 <<<"$body" || { echo "$1 answers no JSON: $(head -c 80 <<<"$body")" && return; }
    [ "$(jq -r '.database_healthy' <<<"$body")" = true ] || { echo "$1 cannot use its database" && return; }
    [ "$(jq -r '.workers_alive // 0' <<<"$body")" -ge "$4" ] ||
        { echo "$1 counts $(jq -r '.workers_alive // 0' <<<"$body") workers, $4 are needed" && return; }
    wanted=$(of_release "$3" windmill_version)
    version=$(ask "$(address_of "$container")" /api/version) || version=
    says_version "$version" "$wanted" ||
        echo "$1 says it is '${version:0:60}', the release says $wanted"
}

# A condition that will not get better by waiting.
is_final() { [[ $1 =~ ^[a-z_]+\ (crashed|is\ exited|is\ dead|is\ restarting|is\ unhealthy|does\ not\ run|says\ it\ is) ]]; }

wait_for_server() { # wait_for_server SERVICE IMAGE DIR WORKERS: WHY says what was wrong at the end
    local until=$((SECONDS + $(setting HEALTH_WAIT_S 120)))
    while :; do
        WHY=$(server_complaint "$@")
        [ -n "$WHY" ] || return 0
        if [ "$SECONDS" -ge "$until" ] || is_final "$WHY"; then return 1; fi
        sleep 0.3
    done
}

wait_for_container() { # wait_for_container SERVICE: running, healthy by its check, not restarted, for two looks
    local until=$((SECONDS + $(setting HEALTH_WAIT_S 120))) container state restarts health good=0
    container=$(container_of "$1")
    [ -n "$container" ] || { WHY="there is no container of $1" && return 1; }
    while [ "$SECONDS" -lt "$until" ]; do
        read -r state restarts health < <(condition "$container")
        [ "$1" != backup ] || health=none # it tells of the age of copies: nothing that a deploy is judged by
        case "$state $health" in
            "running healthy" | "running none") good=$((good + 1)) ;;
            *" unhealthy") WHY="$1 is unhealthy by its own check: $(last_words "$container")" && return 1 ;;
            *) good=0 ;;
        esac
        [ "$restarts" = 0 ] && [ "$state" != exited ] || { WHY="$1 crashed: $(last_words "$container")" && return 1; }
        [ "$good" -lt 3 ] || return 0
        sleep 0.4
    done
    WHY="$1 did not become healthy"
    return 1
}

last_words() { docker logs --tail 2 "$1" 2>&1 | tr '\n' ' ' | cut -c1-200; }

worker_count() { local n=0 one; for one in "${BEHIND[@]}"; do case $one in worker_*) ! has_service "$one" || n=$((n + 1)) ;; esac done; echo $n; }

# --- The steps of a deploy -----------------------------------------------------------------------------------

pull() { # all images by digest, before anything is touched; those that are here need no registry
    local image
    while read -r image; do
        if image_id "$image" >/dev/null; then continue; fi
        say "pull: $image"
        if ! docker pull --quiet "$image" >/dev/null; then
            refuse "the image $image cannot be had" "Is the registry up, is this host logged in, is the digest still there?"
        fi
    done < <(images_of "$NEW_DIR")
    if [ "$PROBLEMS" -gt 0 ]; then
        say "pull: nothing was changed"
        audit refused version "$NEW" reason "an image cannot be had"
        forget_scratch
        exit $REFUSED
    fi
}

backup() { # before anything is touched; a release without a backup program needs to be told so
    [ -n "$OLD" ] || return 0
    if [ "$VERB" = rollback ]; then return 0; fi
    if [ -n "${NO_BACKUP:-}" ]; then
        say "backup: left out, as asked"
        return 0
    fi
    say "backup: begins"
    if ! compose_old exec -T backup backup now --reason deploy 9>&-; then return 1; fi
    BACKUP_AT=$(stamp)
    say "backup: done"
}

validate_proxy() { # the candidate's proxy files, by the candidate's own proxy, in a folder of their own
    local staging=$ROOT/proxy.candidate image said
    image=$(jq -r '.images["platform-caddy"] // empty' "$NEW_DIR/release.json")
    [ -n "$image" ] && [ -d "$NEW_DIR/caddy" ] || return 0
    rm -rf "$staging"
    cp -a "$NEW_DIR/caddy" "$staging"
    [ ! -d "$PROXY/local" ] || cp -a "$PROXY/local" "$staging/" # the host's own options, which no release brings
    printf '%s' "$NEW_COLOR" >"$staging/color"
    chmod -R a+rX "$staging"
    # The environment wins over the file of values: the same service, with another folder.
    said=$(PROXY_DIR=$staging compose run --rm --no-deps -T caddy validate --config /etc/caddy/Caddyfile 2>&1) || { WHY="the proxy refuses its file: $(tail -n 1 <<<"$said" | cut -c1-300)" && return 1; }
}

place_proxy() { # place_proxy DIR COLOR: the release's files on the path that never changes, then the switch
    local dir=$1 color=$2 file differ=
    mkdir -p "$PROXY"
    [ ! -d "$dir/caddy" ] || for file in "$dir"/caddy/*; do
        if [ -f "$file" ] && ! cmp -s "$file" "$PROXY/${file##*/}"; then
            write_whole "$PROXY/${file##*/}" <"$file"
            differ=yes
        fi
    done
    # A reload resets whoever is just connecting, so there is none without need.
    [ -z "$differ" ] || reload_proxy || return 1
    switch_traffic "$color"
}

switch_traffic() { # switch_traffic COLOR: the proxy reads this file at each request; a rename loses nobody
    printf '%s' "$1" | write_whole "$PROXY/color"
}

reload_proxy() {
    local container
    container=$(container_of caddy)
    [ -n "$container" ] && [ "$(docker inspect --format '{{.State.Running}}' "$container")" = true ] || return 0
    docker exec "$container" caddy reload --config /etc/caddy/Caddyfile \
        --address "$(setting CADDY_ADMIN unix//run/caddy/admin.sock)" >/dev/null 2>&1
}

smoke() { # as the world comes in: through the proxy to the candidate, and by its certificate
    local container body wanted name code
    container=$(container_of caddy)
    [ -n "$container" ] || return 0
    wanted=$(of_release "$NEW_DIR" windmill_version)
    for _ in {1..20}; do
        body=$(docker exec "$container" curl --silent --max-time 5 http://caddy:8001/api/version 2>/dev/null) || body=
        if [ -n "$body" ] && says_version "$body" "$wanted"; then break; fi
        sleep 0.5
    done
    if [ -z "$body" ] || ! says_version "$body" "$wanted"; then
        WHY="through the proxy the server says '${body:0:60}', not $wanted"
        return 1
    fi
    name=$(setting DOMAIN_HOOKS '')
    [ -n "$name" ] || return 0
    for _ in {1..30}; do # the first certificate of a host takes some seconds
        code=$(curl --silent --noproxy '*' --output /dev/null --write-out '%{http_code}' --max-time 5 \
            --connect-to '::127.0.0.1:' --cacert "$(setting SMOKE_CA /etc/ssl/certs/ca-certificates.crt)" "https://$name/") || true
        [ "$code" = 000 ] || return 0
        sleep 0.5
    done
    # No reason to go back: what serves now has the same certificate, or none has one yet.
    say "warning: https://$name/ has no certificate that this host trusts yet; see: logs caddy"
}

says_version() { # says_version TEXT WANTED: the number alone, not as a part of a longer one
    [ -z "$2" ] || [[ $1 =~ (^|[^0-9.])"${2#v}"($|[^0-9.]) ]]
}

renew_behind() { # door, workers, backup; each ends its work (stop_grace_period) before it goes
    if [ "$VERB" = deploy ] && [ -n "$OLD" ]; then
        renew compose worker_webhook || return 1 # panels wait for these: they go while the others still work
    fi
    renew compose "${BEHIND[@]}"
}

renew() { # renew COMPOSE SERVICE...: together, then each is judged
    local service how=$1 began=$SECONDS
    local -a there=()
    shift
    for service in "$@"; do ! has_service "$service" || there+=("$service"); done
    [ "${#there[@]}" -gt 0 ] || return 0
    "$how" up --detach --no-deps "${there[@]}" >/dev/null 2>&1 || { WHY="${there[*]} cannot be started" && return 1; }
    for service in "${there[@]}"; do
        wait_for_container "$service" || return 1
    done
    say "renewed: ${there[*]}, $((SECONDS - began)) s"
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

# --- Deploy and the way back ---------------------------------------------------------------------------------

steps() { # everything from the first change to the switch; WHY and PHASE say where it stopped
    local service
    PHASE=backup && mark backup
    backup || { WHY="the backup failed" && return 1; }
    PHASE=database && mark database
    validate_proxy || return 1
    if has_service postgres; then
        compose up --detach --no-deps postgres >/dev/null 2>&1 || { WHY="the database cannot be started" && return 1; }
        wait_for_container postgres || return 1
        let_in windmill-login SECRET_WINDMILL_DATABASE_URL || return 1
        let_in superuser-password SECRET_DATABASE_SUPERUSER_PASSWORD || return 1
        let_in backup-password SECRET_BACKUP_DATABASE_PASSWORD || return 1
    fi
    if has_service migrate; then
        compose run --rm --no-deps -T migrate || { WHY="the migration failed" && return 1; }
    fi
    PHASE=candidate && mark candidate
    service=server_$NEW_COLOR
    say "candidate: $service"
    compose rm --stop --force "$service" >/dev/null 2>&1 || true
    compose up --detach --no-deps "$service" >/dev/null 2>&1 || { WHY="$service cannot be started" && return 1; }
    wait_for_server "$service" "$NEW_IMAGE" "$NEW_DIR" "$([ -n "$OLD" ] && echo 1 || echo 0)" || return 1
    say "candidate: healthy"
    PHASE=traffic && mark traffic
    place_proxy "$NEW_DIR" "$NEW_COLOR" || { WHY="the proxy does not take its file" && return 1; }
    if has_service caddy; then
        compose up --detach --no-deps caddy >/dev/null 2>&1 || { WHY="the proxy cannot be started" && return 1; }
        wait_for_container caddy || return 1
    fi
    smoke || return 1
    PHASE=behind && mark behind
    renew_behind || return 1
    watch_candidate || return 1
}

let_in() { # let_in VERB NAME: the database learns a login from the file that NAME says; again and again the same
    local file
    file=$(value_of "$NEW_ENV" "$2")
    [ -n "$file" ] || return 0
    compose exec -T postgres platform-postgres "$1" <"$file" >/dev/null 2>&1 || { WHY="the database refuses the login of $2" && return 1; }
}

value_of() { sed -n "s/^$2=//p" "$1" 2>/dev/null | tail -n 1; }

finish() { # past the point of return: the old colour goes, the state is switched
    PHASE=switch && mark switch
    write_whole "$NEW_DIR/release.env" <"$NEW_ENV"
    if [ -n "$OLD_COLOR" ]; then
        retire compose_old "$OLD_COLOR" || say "the old server would not go; it gets no traffic"
    fi
    settle
    audit ok version "$NEW" from "$OLD" color "$NEW_COLOR" seconds "$((SECONDS - BEGAN))" verb "$VERB"
    rm -f "$STATE/deploying.json"
    rm -rf "$ROOT/proxy.candidate"
    say "$VERB: $NEW serves (server_$NEW_COLOR), $((SECONDS - BEGAN)) s"
}

put_back() { # what served before, whole; the candidate goes. Fails when that cannot be had.
    local service failed=
    say "going back: $WHY"
    if [ -z "$OLD" ]; then # nothing served before: nothing is left running but the database, which keeps its data
        for service in caddy "${BEHIND[@]}" "server_$NEW_COLOR"; do
            ! has_service "$service" || compose rm --stop --force "$service" >/dev/null 2>&1 || true
        done
        return 0
    fi
    SERVICES=$(compose_old --profile '*' config --services)
    compose_old up --detach --no-deps "server_$OLD_COLOR" >/dev/null 2>&1 || failed="server_$OLD_COLOR cannot be started"
    if [ "$PHASE" != backup ] && has_service postgres; then
        compose_old up --detach --no-deps postgres >/dev/null 2>&1 || failed="the database cannot be started"
    fi
    wait_for_server "server_$OLD_COLOR" "$(old_image)" "$RELEASES/$OLD" 0 || failed=$WHY
    case $PHASE in
        traffic | behind | switch)
            place_proxy "$RELEASES/$OLD" "$OLD_COLOR" || failed="the proxy does not take its old file"
            renew compose_old caddy "${BEHIND[@]}" || failed=$WHY
            ;;
    esac
    [ "$NEW_COLOR" = "$OLD_COLOR" ] || retire compose "$NEW_COLOR" || true
    rm -rf "$ROOT/proxy.candidate"
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
    NEW=$1 NEW_DIR=$2 OLD=$(deployed version) OLD_COLOR=$(deployed color) PHASE=preflight WHY='' BACKUP_AT=
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
    check_room "$NEW_DIR"
    [ "$PROBLEMS" = 0 ] || finish_preflight
    audit start version "$NEW" from "$OLD" verb "$VERB"
    if ! steps; then end_badly; fi
    finish
    forget_scratch
    prune "$(setting KEEP_RELEASES 5)"
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

require_backup() { # an installation that has no backup service is never changed by mistake without one
    [ -n "$OLD" ] && [ -z "${NO_BACKUP:-}" ] && [ -z "$DRY" ] || return 0
    [ -n "$(container_of backup)" ] ||
        refuse "$OLD runs no backup service, so there would be no backup before this deploy" "Start it, or say --no-backup if that is meant."
}

command_rollback() {
    local to='' despite=
    while [ $# -gt 0 ]; do
        case $1 in
            --to) to=${2:-} && shift ;;
            --despite-schema) despite=yes ;;
            --dry-run) DRY=yes ;;
            --by) BY=${2:-unknown} && shift ;;
            *) die $USAGE "rollback knows no '$1'" ;;
        esac
        shift
    done
    VERB=rollback
    if [ -z "$DRY" ]; then
        take_lock rollback "${to:-the previous release}"
        end_crash
    fi
    to=${to:-$(deployed previous)}
    [ -n "$to" ] || die $REFUSED "there is no previous release to go back to. On this host are: $(releases_here)."
    require_version "$to"
    prepare "$to" "$RELEASES/$to"
    [ -f "$NEW_DIR/release.json" ] || die $REFUSED "release $to is not on this host any more. On it are: $(releases_here)."
    [ -n "$despite" ] || require_schema
    carry_out ''
}

require_schema() { # an older program on a newer schema only where the newer release says that it may
    local now_head then_head floor
    now_head=$(of_release "$RELEASES/$OLD" schema_head) then_head=$(of_release "$NEW_DIR" schema_head)
    floor=$(of_release "$RELEASES/$OLD" schema_floor)
    [ "$now_head" != "$then_head" ] || return 0
    [ -z "$floor" ] || ! at_least "$then_head" "$floor" || return 0
    say "refused: $OLD moved the schema from $then_head to $now_head, and does not say that $NEW can work with it."
    say "  1. Restore the backup made before that deploy$(backup_note): docs/guides/restore.md."
    say "  2. Deploy a corrected release on the new schema."
    say "  3. If you know that nothing was dropped or renamed: rollback --despite-schema."
    audit refused version "$NEW" reason "schema $now_head is not one that it knows"
    exit $REFUSED
}

backup_note() {
    local at
    at=$(deployed backup_at)
    [ -z "$at" ] || printf ' (%s)' "$at"
}

# --- After a crash -------------------------------------------------------------------------------------------

end_crash() { # a deploy that began and did not end: past the switch forward, before it back
    [ -f "$STATE/deploying.json" ] || return 0
    local phase version
    phase=$(marked phase) version=$(marked version) VERB=$(marked verb)
    say "resume: $VERB of $version by $(marked by) stopped in $phase ($(marked at))"
    prepare "$version" "$RELEASES/$version"
    NEW_COLOR=$(marked color) OLD=$(marked from) OLD_COLOR=$(marked old_color) PHASE=$phase
    NEW_ENV=$(mktemp "${TMPDIR:-/tmp}/platform-env.XXXXXX")
    environment_of "$NEW_DIR" >"$NEW_ENV"
    NEW_IMAGE=$(jq -r '.images["platform-windmill"]' "$NEW_DIR/release.json")
    SERVICES=$(compose --profile '*' config --services)
    if [ "$phase" = switch ]; then
        [ "$(deployed run)" = "$(marked run)" ] || finish_forward
        rm -f "$STATE/deploying.json"
        write_copies
        say "resume: $version serves"
    else
        WHY="the host or the program stopped in $phase"
        end_quietly
    fi
    forget_scratch
}

finish_forward() {
    wait_for_server "server_$NEW_COLOR" "$NEW_IMAGE" "$NEW_DIR" 0 || end_badly
    finish
}

end_quietly() {
    audit failed version "$NEW" phase "$PHASE" reason "$WHY"
    if ! put_back; then
        audit broken version "$NEW" to "$OLD" reason "$WHY"
        say "resume: the way back failed: $WHY. Wake somebody; see docs/guides/rollback.md."
        exit $BROKEN
    fi
    audit rolled_back version "$NEW" to "${OLD:-nothing}" reason "stopped in $PHASE"
    rm -f "$STATE/deploying.json"
    say "resume: ${OLD:-nothing} serves, as before"
}

command_resume() {
    [ "${1:-}" != --by ] || BY=${2:-unknown}
    VERB=resume
    take_lock resume
    if [ ! -f "$STATE/deploying.json" ]; then
        say "resume: nothing was left half done"
        return 0
    fi
    end_crash
}

# --- Looking, forgetting -------------------------------------------------------------------------------------

command_preflight() {
    local now='' version=
    while [ $# -gt 0 ]; do
        case $1 in
            --release) version=${2:-} && shift ;;
            --now) now=${2:-} && shift ;;
            *) die $USAGE "preflight knows no '$1'" ;;
        esac
        shift
    done
    version=${version:-$(deployed version)}
    if [ -z "$version" ]; then # a host that has no release yet: what can be looked at without one
        check_system
        check_docker
        check_host_values
        [ "$PROBLEMS" -gt 0 ] || { check_ports && check_names; }
        check_clock "$now"
        finish_preflight
        return
    fi
    require_version "$version"
    [ ! -f "$STATE/deploying.json" ] || ! lock_is_free ||
        refuse "a deploy of $(marked version) stopped in $(marked phase)" "Run: resume."
    prepare "$version" "$RELEASES/$version"
    preflight "$now"
    forget_scratch
}

command_status() {
    local container service='' facts body=null color recent='[]'
    facts=$(
        while read -r container; do
            docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}}	{{.State.Status}}	{{.RestartCount}}	{{if .State.Health}}{{.State.Health.Status}}{{end}}	{{.State.StartedAt}}	{{.Config.Image}}' "$container" \
                2>/dev/null || true # a deploy ends containers meanwhile
        done < <(docker ps --all --quiet --filter "label=com.docker.compose.project=$PROJECT") |
            jq -Rn '[inputs | split("\t") | {service: .[0], state: .[1], restarts: (.[2] | tonumber), health: .[3], since: .[4], image: .[5]}] | sort_by(.service)'
    )
    color=$(deployed color)
    [ -z "$color" ] || service=$(container_of "server_$color") || service=''
    [ -z "$service" ] || body=$(ask "$(address_of "$service")" /api/health/status 2>/dev/null | jq -c . 2>/dev/null) || body=null
    [ ! -f "$STATE/audit.jsonl" ] || recent=$(tail -n 5 "$STATE/audit.jsonl" | jq -cs .)
    jq -n --argjson services "$facts" --argjson health "${body:-null}" \
        --argjson deployed "$(cat "$STATE/deployed.json" 2>/dev/null || echo null)" \
        --argjson deploying "$(cat "$STATE/deploying.json" 2>/dev/null || echo null)" \
        --arg lock "$(lock_is_free || cat "$STATE/deploy.lock" 2>/dev/null)" --arg releases "$(releases_here)" \
        --arg free "$(df --output=avail -BM "$ROOT" | tail -n 1 | tr -dc 0-9)" \
        --argjson audit "$recent" \
        '{deployed: $deployed, deploying: $deploying, lock: (if $lock == "" then null else $lock end),
          releases: ($releases | split(" ") | map(select(. != "" and . != "none"))), health: $health,
          services: $services, disk_free_mb: ($free | tonumber), audit: $audit}' | show_status "${1:-}"
}

show_status() {
    if [ "${1:-}" = --json ]; then
        cat
        return
    fi
    jq -r '"serves    \(.deployed.version // "nothing yet") (server_\(.deployed.color // "-")), since \(.deployed.at // "-"); before: \(.deployed.previous // "-")",
        (if .deploying then "STOPPED   \(.deploying.verb) of \(.deploying.version) in \(.deploying.phase), \(.deploying.at)" else empty end),
        (if .lock then "running   \(.lock)" else empty end),
        "health    \(.health // "no answer" | tostring)",
        "releases  \(.releases | join(" "))",
        "disk      \(.disk_free_mb) MB free",
        (.services[] | "  \(.service)\t\(.state)\t\(.health)\trestarts \(.restarts)")'
}

prune() { # prune N: the newest N releases stay, and always what serves, what served before, and their images
    local keep=$1 version image
    local -a kept=("$(deployed version)" "$(deployed previous)")
    while read -r version; do
        [ "${#kept[@]}" -lt $((keep + 2)) ] || break
        kept+=("$version")
    done < <(find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%T@ %f\n' | sort -rn | cut -d' ' -f2 |
        grep -Fxv -e "${kept[0]:-none}" -e "${kept[1]:-none}" | head -n $((keep > 2 ? keep - 2 : 0)))
    while read -r version; do
        printf '%s\n' "${kept[@]}" | grep -Fqx "$version" || forget_release "$version" "${kept[@]}"
    done < <(find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%f\n')
    find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -name '.incoming-*' -mmin +60 -exec rm -rf {} +
    find "$RUNS" -type f -mtime +90 -delete 2>/dev/null || true
}

forget_release() { # forget_release VERSION KEPT...
    local version=$1 image one used=
    shift
    while read -r image; do
        used=
        for one in "$@"; do
            [ ! -f "$RELEASES/$one/release.json" ] || ! images_of "$RELEASES/$one" | grep -Fqx "$image" || used=yes
        done
        [ -n "$used" ] || docker image rm "$image" >/dev/null 2>&1 || true
    done < <(images_of "$RELEASES/$version" 2>/dev/null || true)
    rm -rf "${RELEASES:?}/$version"
    say "prune: $version is gone"
    audit pruned version "$version"
}

command_prune() {
    local keep=5
    [ "${1:-}" != --keep ] || keep=${2:-}
    [[ $keep =~ ^[0-9]+$ ]] && [ "$keep" -ge 2 ] || die $USAGE "prune keeps at least 2 releases: this one and the one to go back to"
    take_lock prune
    prune "$keep"
}

command_logs() {
    local container
    [[ ${1:-} =~ ^[a-z_]+$ ]] && [[ ${2:-200} =~ ^[0-9]{1,5}$ ]] || die $USAGE "say: logs SERVICE [LINES]"
    container=$(container_of "$1")
    [ -n "$container" ] || die $FAILED "there is no container of $1. See: status."
    docker logs --timestamps --tail "${2:-200}" "$container" 2>&1
}

# --- What the client says ------------------------------------------------------------------------------------

unpack() { # unpack VERSION SHA256 FOLDER <bundle: nothing outside FOLDER, no links, the very bytes that were sent
    local file=$3.tar.gz
    head -c 268435456 >"$file"
    [ "$(sha256sum "$file" | cut -d' ' -f1)" = "$2" ] || { rm -f "$file" && die $REFUSED "the bundle arrived damaged. Send it again."; }
    if tar -tzvf "$file" | awk '$1 !~ /^[-d]/ || $6 ~ /^\/|(^|\/)\.\.(\/|$)/ {bad = 1} END {exit !bad}'; then
        rm -f "$file"
        die $REFUSED "the bundle holds links or paths that lead out of it"
    fi
    mkdir -p "$3"
    tar -xzf "$file" -C "$3" --no-same-owner --no-same-permissions
    rm -f "$file"
    chmod -R u=rwX,go=rX "$3"
    [ "$(of_release "$3" version)" = "$1" ] || { rm -rf "$3" && die $REFUSED "the bundle is not release $1"; }
}

command_receive() {
    require_version "${1:-}"
    [[ ${2:-} =~ ^[0-9a-f]{64}$ ]] || die $USAGE "say: receive VERSION SHA256"
    local staging
    mkdir -p "$RELEASES"
    staging=$(mktemp -d "$RELEASES/.incoming-XXXXXX")
    unpack "$1" "$2" "$staging/release"
    if [ -d "$RELEASES/$1" ]; then
        cmp -s "$staging/release/SHA256SUMS" "$RELEASES/$1/SHA256SUMS" ||
            { rm -rf "$staging" && die $REFUSED "release $1 is on this host with other content. A release never changes: give it another number."; }
        rm -rf "$staging"
        say "release $1 is here already, and the same"
        return
    fi
    mv "$staging/release" "$RELEASES/$1"
    rm -rf "$staging"
    say "release $1 is in place"
}

command_try() {
    require_version "${1:-}"
    [[ ${2:-} =~ ^[0-9a-f]{64}$ ]] || die $USAGE "say: try VERSION SHA256"
    local staging rc=0
    staging=$(mktemp -d "${TMPDIR:-/tmp}/platform-try.XXXXXX")
    unpack "$1" "$2" "$staging/release"
    bash "$PROGRAM" --root "$ROOT" deploy "$1" --dry-run --dir "$staging/release" "${@:3}" || rc=$?
    rm -rf "$staging"
    return "$rc"
}

command_start() { # the run goes on when the connection ends
    local verb=${1:-} program=$PROGRAM
    case $verb in
        deploy)
            require_version "${2:-}"
            [ ! -f "$RELEASES/$2/platform_host.sh" ] || program=$RELEASES/$2/platform_host.sh
            ;;
        rollback | resume) ;;
        *) die $USAGE "start knows deploy, rollback and resume" ;;
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
    printf '%s\n' "$RUN"
}

command_supervise() { # the detached half: keeps the log and, at the end, the exit code
    local rc=0
    RUN=$1
    shift
    printf '%s\n' "$$" | write_whole "$RUNS/$RUN.pid"
    PLATFORM_RUN=$RUN /bin/bash "$PROGRAM" --root "$ROOT" "$@" >>"$RUNS/$RUN.log" 2>&1 || rc=$?
    case $rc in
        "$OK" | "$FAILED" | "$USAGE" | "$REFUSED" | "$LOCKED" | "$BROKEN") ;;
        *)
            printf '%s  it ended with %s, which nobody foresaw; see status\n' "$(stamp)" "$rc" >>"$RUNS/$RUN.log"
            rc=$BROKEN
            ;;
    esac
    if [ "$rc" = 0 ] && [ "$1" = deploy ]; then install_self; fi
    printf '%s\n' "$rc" | write_whole "$RUNS/$RUN.rc"
}

install_self() { # the program of the release that serves is the one the deploy key speaks to
    cmp -s "$PROGRAM" "$ROOT/bin/platform_host.sh" || {
        mkdir -p "$ROOT/bin"
        install -m 0755 "$PROGRAM" "$ROOT/bin/.platform_host.new"
        mv -f "$ROOT/bin/.platform_host.new" "$ROOT/bin/platform_host.sh"
    }
}

command_follow() {
    local run=${1:-} from=${2:-1} pid=''
    [[ $run =~ ^[0-9TZ]+-[0-9]+-[a-z]+$ ]] && [[ $from =~ ^[0-9]+$ ]] || die $USAGE "say: follow RUN [BYTE]"
    [ -f "$RUNS/$run.log" ] || die $USAGE "there is no run $run"
    for _ in {1..20}; do # the detached half writes its number first
        pid=$(cat "$RUNS/$run.pid" 2>/dev/null || true)
        [ -z "$pid" ] || break
        sleep 0.1
    done
    tail --bytes "+$from" --sleep-interval 0.2 --follow ${pid:+--pid "$pid"} "$RUNS/$run.log" 2>/dev/null || true
    [ -f "$RUNS/$run.rc" ] || die $FAILED "the run ended without a word: the host stopped it or was restarted. See status; resume ends it."
    return "$(cat "$RUNS/$run.rc")"
}

command_gate() { # what a deploy key may say: one line of plain words, and nothing else runs
    local -a words
    local word
    read -r -a words <<<"${1:-}"
    [ "${#words[@]}" -gt 0 ] || die $USAGE "this key deploys; it opens no shell. Say: status, preflight, receive, try, start, follow, logs, prune"
    for word in "${words[@]}"; do
        [[ $word =~ $WORD_FORM ]] || die $USAGE "'$word' is not a plain word"
    done
    case ${words[0]} in
        status | preflight | receive | try | start | follow | logs | prune) dispatch "${words[@]}" ;;
        rollback) # only to see what it would do; the real one is detached, by start
            [[ " ${words[*]} " == *" --dry-run "* ]] || die $USAGE "say: start rollback"
            dispatch "${words[@]}"
            ;;
        *) die $USAGE "a deploy key cannot say '${words[0]}'" ;;
    esac
}

dispatch() {
    local command=${1:-}
    case $command in
        preflight | deploy | rollback | resume | status | prune | logs | gate | receive | try | start | supervise | follow) ;;
        *) die $USAGE "there is no command '$command'. See the head of $PROGRAM." ;;
    esac
    [ -d "$STATE" ] || die $REFUSED "$STATE is missing: this host was not made ready. Run: wmctl host bootstrap."
    "command_$command" "${@:2}"
}

main() {
    if [ "${1:-}" = --root ]; then
        ROOT=${2:-}
        shift 2
    fi
    use_root
    dispatch "$@"
}

main "$@"
