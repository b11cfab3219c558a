
# --- How it is: status and logs.

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
        --argjson restoring "$(cat "$STATE/restoring.json" 2>/dev/null || echo null)" \
        --argjson deploying "$(cat "$STATE/deploying.json" 2>/dev/null || echo null)" \
        --argjson rotating "$(cat "$STATE/rotating.json" 2>/dev/null || echo null)" \
        --arg lock "$(lock_is_free || cat "$STATE/deploy.lock" 2>/dev/null)" --arg releases "$(releases_here)" \
        --arg free "$(df --output=avail -BM "$ROOT" | tail -n 1 | tr -dc 0-9)" \
        --argjson audit "$recent" --arg workspace "$(door_workspace)" --argjson certificates "$(certificates)" \
        '{deployed: $deployed, deploying: $deploying, restoring: $restoring, rotating: $rotating, lock: (if $lock == "" then null else $lock end),
          releases: ($releases | split(" ") | map(select(. != "" and . != "none"))), health: $health,
          services: $services, certificates: $certificates, disk_free_mb: ($free | tonumber), audit: $audit,
          workspace: (if $workspace == "" then null else $workspace end)}' | show_status "${1:-}"
}

door_workspace() { # in which the door that runs wakes runners; empty while there is no door
    local container
    container=$(container_of door)
    [ -z "$container" ] || docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$container" 2>/dev/null |
        sed -n 's/^PLATFORM_INGEST_WINDMILL_WORKSPACE=//p'
}

show_status() {
    if [ "${1:-}" = --json ]; then
        cat
        return
    fi
    jq -r '"serves    \(.deployed.version // "nothing yet") (server_\(.deployed.color // "-")), since \(.deployed.at // "-"); before: \(.deployed.previous // "-")",
        (if .restoring then "STOPPED   restore in \(.restoring.phase), \(.restoring.at), unless it runs" else empty end),
        (if .deploying then "STOPPED   \(.deploying.verb) of \(.deploying.version) in \(.deploying.phase), \(.deploying.at)" else empty end),
        (if .rotating then "HALF DONE rotation of \(.rotating.kind) by \(.rotating.by), \(.rotating.at): say it again" else empty end),
        (if .lock then "running   \(.lock)" else empty end),
        "health    \(.health // "no answer" | tostring)",
        "releases  \(.releases | join(" "))",
        "disk      \(.disk_free_mb) MB free",
        (.certificates[] | "tls       \(.name)\t\(.state)\tuntil \(.until // "-")\(if .why == "" then "" else " (\(.why))" end)"),
        (.services[] | "  \(.service)\t\(.state)\t\(.health)\trestarts \(.restarts)"),
        (if .audit == [] then empty else "audit, the newest last" end),
        (.audit[] | "  \(.at)  \(.event)" + ([.verb, .kind, .version, .customer, .copy, .phase, .reason] | map(select(. != null and . != "")) | map("  " + .) | join("")) + "  by \(.by)" + (if (.run // "") == "" then "" else "  run \(.run)" end))'
}

command_logs() {
    local container
    [[ ${1:-} =~ ^[a-z_]+$ ]] && [[ ${2:-200} =~ ^[0-9]{1,5}$ ]] || die $USAGE "say: logs SERVICE [LINES]"
    container=$(container_of "$1")
    [ -n "$container" ] || die $FAILED "there is no container of $1. See: status."
    docker logs --timestamps --tail "${2:-200}" "$container" 2>&1
}
