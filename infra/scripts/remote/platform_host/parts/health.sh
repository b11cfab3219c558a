
# --- Whether a container is to be trusted, and why not.

address_of() { # address_of CONTAINER: the first of its networks; the host reaches internal ones too
    docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$1" | awk '{print $1}'
}

ask() { # ask ADDRESS PATH: the body, whatever the status
    curl --silent --noproxy '*' --max-time 5 "http://$1:$PORT$2"
}

# A line a container: "caddy running 0 healthy old 3f2a…": service, state, crashes in this run, health, whether this run
# started it, its host name. What crashed once in its life and was started again is no worse for it.
condition() { # condition CONTAINER...
    docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{.RestartCount}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.State.StartedAt}} {{.Config.Hostname}}' "$@" |
        awk -v began="$BEGAN_AT" '{new = $5 >= began; print $1, $2, (new ? $3 : 0), $4, (new ? "new" : "old"), $6}'
}

# A worker whose ping the database has need not wait for its own check to come round. While one has none this takes a
# second, on the database's side: what starts needs the processor more than whoever waits for it.
pings_seen() { # <what `condition` says
    local lines pinged=''
    local -a hosts
    lines=$(cat)
    mapfile -t hosts < <(awk '$1 ~ /^worker_/ && $4 == "starting" {print $6}' <<<"$lines")
    [ "${#hosts[@]}" = 0 ] || pinged=$(docker exec "$(container_of postgres)" platform-postgres pinged "${hosts[@]}" 2>/dev/null | tr '\n' ' ') || pinged=''
    awk -v pinged=" $pinged " '$4 == "starting" && index(pinged, " " $6 " ") {$4 = "healthy"} {print}' <<<"$lines"
}

# WHY a server is not to be trusted yet; empty when it is.
server_complaint() { # server_complaint SERVICE IMAGE DIR WORKERS
    local container state restarts health image address body version wanted
    container=$(container_of "$1")
    [ -n "$container" ] || { echo "there is no container of $1" && return; }
    { read -r _ state restarts health _ && read -r image address _; } < <(condition "$container" && docker inspect --format \
        '{{.Image}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$container") || true # gone meanwhile
    [ "$state" = running ] || { echo "$1 is $state: $(last_words "$container")" && return; }
    [ "$restarts" = 0 ] || { echo "$1 crashed and was started again $restarts times: $(last_words "$container")" && return; }
    [ "$health" != unhealthy ] || { echo "$1 is unhealthy by its own check" && return; }
    [ "$image" = "$(image_id "$2")" ] || { echo "$1 does not run the image of the release" && return; }
    body=$(ask "$address" /api/health/status) || { echo "$1 does not answer yet" && return; }
    jq -e . >/dev/null 2>&1 <<<"$body" || { echo "$1 answers no JSON: $(head -c 80 <<<"$body")" && return; }
    [ "$(jq -r '.database_healthy' <<<"$body")" = true ] || { echo "$1 cannot use its database" && return; }
    [ "$(jq -r '.workers_alive // 0' <<<"$body")" -ge "$4" ] ||
        { echo "$1 counts $(jq -r '.workers_alive // 0' <<<"$body") workers, $4 are needed" && return; }
    wanted=$(of_release "$3" windmill_version)
    version=$(ask "$address" /api/version) || version=
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
        sleep 0.2
    done
}

# All of them well, at three looks. One look is enough for what this run did not start, and for a release that has proved
# itself before.
wait_for_container() { # wait_for_container SERVICE...
    local until=$((SECONDS + $(setting HEALTH_WAIT_S 120))) looks=1 good=0 service container
    local -A found=()
    while read -r service container; do found[$service]=${found[$service]:-$container}; done < <(containers_of "$@")
    for service in "$@"; do [ -n "${found[$service]:-}" ] || { WHY="there is no container of $service" && return 1; }; done
    while [ "$SECONDS" -lt "$until" ]; do
        WHY=$(condition "${found[@]}" | pings_seen | complaint)
        case $WHY in
            '') good=$((good + 1)) ;;
            started) good=$((good + 1)) looks=$([ "$VERB" = rollback ] && echo 1 || echo 3) ;;
            *"did not become healthy") good=0 ;;
            *) WHY="$WHY: $(last_words "${found[${WHY%% *}]}")" && return 1 ;;
        esac
        [ "$good" -lt "$looks" ] || return 0
        sleep 0.2
    done
    return 1
}

# What keeps the first of them from being well; empty when all are, `started` when that is so since this run only. The
# backup tells of the age of copies by its health: nothing that a deploy is judged by.
complaint() { # complaint <what `condition` says
    awk '$1 == "backup" {$4 = "none"}
        $4 == "unhealthy" {bad = bad ? bad : $1 " is unhealthy by its own check"}
        $3 > 0 || $2 == "exited" {bad = bad ? bad : $1 " crashed"}
        $2 != "running" || $4 == "starting" {late = late ? late : $1 " did not become healthy"}
        $5 == "new" {new = "started"}
        END {print bad ? bad : late ? late : new}'
}

last_words() { docker logs --tail 2 "$1" 2>&1 | tr '\n' ' ' | cut -c1-200; }

worker_count() { local n=0 one; for one in "${BEHIND[@]}"; do case $one in worker_*) ! has_service "$one" || n=$((n + 1)) ;; esac done; echo $n; }
