
# --- Looking before anything is changed.

check_system() {
    local tool
    [ "$(uname -s)" = Linux ] || refuse "this is $(uname -s), not Linux" "Use a Debian or Ubuntu host."
    [ "$(uname -m)" = x86_64 ] || refuse "the processor is $(uname -m)" "Images are built for x86_64 (linux/amd64) alone: use such a host."
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

engine_folders() { # two lines: where the engine keeps volumes, and where images: one newly installed from 29 on leaves them to containerd
    local folder driver images
    read -r folder driver < <(docker info --format '{{.DockerRootDir}} {{.DriverStatus}}' 2>/dev/null) || folder=/
    images=$folder
    case ${driver:-} in *io.containerd.snapshotter*) images=/var/lib/containerd ;; esac
    for folder in "$folder" "$images"; do [ -d "$folder" ] && echo "$folder" || echo /; done
}

check_room() { # check_room DIR: the images twice, and the database once more for its backup
    local need_mb free_mb inodes memory_mb database=0 where container
    where=$(engine_folders | tail -n 1)
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

check_ports() {
    local port holder ours
    ours=$(docker ps --filter "label=com.docker.compose.project=$PROJECT" --format '{{.Ports}}' | tr ',' '\n')
    for port in 80/tcp 443/tcp 443/udp; do # with udp the newer browsers come
        ! grep -q ":${port%/*}->.*/${port#*/}\$" <<<"$ours" || continue
        holder=$(ss -Hlnp "--${port#*/}" "sport = :${port%/*}" | head -n 1)
        [ -n "$holder" ] || continue
        holder=$(sed -n 's/.*users:((\"\([^"]*\)\",pid=\([0-9]*\).*/\1, process \2/p' <<<"$holder")
        refuse "port ${port%/tcp} is taken by ${holder:-something else}" "Stop it, and see that it does not come back at boot."
    done
}

addresses_of() { getent ahosts "$1" | awk '{print $1}' | sort -u | tr '\n' ' ' || true; } # a name may lead nowhere

leads_here() { # leads_here NAME [ADDRESSES]: to an address that this host carries, or to one of those
    local here address
    here=" $(ip -o addr show | awk '{sub(/\/.*/, "", $4); print $4}' | tr '\n' ' ') ${2:-} "
    for address in $(addresses_of "$1"); do
        case $here in *" $address "*) return 0 ;; esac
    done
    return 1
}

check_names() { # every public name leads here, or the certificate could not be had
    local name addresses
    while read -r name; do
        ! leads_here "$name" "$(setting PUBLIC_ADDRESSES '')" || continue
        addresses=$(addresses_of "$name")
        refuse "$name leads to ${addresses:-nowhere }and not to this host" \
            "Correct its DNS record, or add this host's public address to PUBLIC_ADDRESSES in host.env. While it still leads to the host that this one replaces, name that address there: the proxy asks for the certificate again by itself once the record is changed."
    done < <(sed -n 's/^DOMAIN_[A-Z]*=//p' "$ROOT/host.env" | sort -u)
}

check_clock() { # check_clock EPOCH, of the client
    local off
    [[ ${1:-} =~ ^[0-9]{9,11}$ ]] || return 0
    off=$(($(date +%s) - $1))
    [ "${off#-}" -le 120 ] ||
        refuse "this host's clock and yours differ by ${off#-} s" "Set the wrong one right (here: timedatectl); certificates and signatures depend on it."
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

check_config() { # Compose reads the whole once: CONFIG is what it understood, SERVICES their names
    local said
    said=$(mktemp "${TMPDIR:-/tmp}/platform-said.XXXXXX")
    CONFIG=$(compose --profile '*' config --format json 2>"$said") ||
        refuse "Compose refuses the release's files: $(tr '\n' ' ' <"$said" | cut -c1-300)" "Correct compose.prod.yml or host.env."
    rm -f "$said"
    SERVICES=$(jq -r '.services | keys[]' <<<"${CONFIG:-null}" 2>/dev/null) || SERVICES=
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
    [ "$VERB" = rollback ] || check_room "$NEW_DIR" # the images of the way back are here, and a full disk may be why it is taken
    check_ports
    check_names
    check_clock "${1:-}"
    [ -n "$VERB" ] || check_what_serves
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
