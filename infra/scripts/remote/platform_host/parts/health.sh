
# --- Whether a container is to be trusted, and why not.

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
