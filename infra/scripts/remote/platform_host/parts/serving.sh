
# --- What serves, by itself: what somebody must do something about before it is noticed by others.

check_what_serves() { # asked for by `preflight` alone, which is the alarm too: a deploy may be what mends these
    [ "$NEW" != "$OLD" ] || check_services
    check_fill
    check_ballast
    check_certificates
}

check_services() { # each of the release but the colour that is away and what runs once
    local service container state restarts health
    while read -r service; do
        case $service in migrate | "server_$NEW_COLOR") continue ;; esac
        container=$(container_of "$service")
        if [ -z "$container" ]; then
            refuse "$service has no container" "Deploy $NEW once more: it starts what is missing."
            continue
        fi
        read -r _ state restarts health _ < <(condition "$container" 2>/dev/null) || continue # a deploy ended it meanwhile
        case $service:$state:$health in
            backup:running:unhealthy) refuse "the backup says no: copies are late, the log stopped, or no drill of eight days was good" "Say which: wmctl backup list; then: ops/runbooks/backup-stale.md." ;;
            *:running:unhealthy) refuse "$service is unhealthy by its own check" "See: logs $service; then: ops/runbooks/platform-down.md." ;;
            *:running:*) ;;
            *) refuse "$service is $state" "See: logs $service; then: ops/runbooks/platform-down.md." ;;
        esac
    done <<<"$SERVICES"
}

check_fill() { # full disks stop databases; a fifth is what a copy or an upgrade may take at once
    local place used device limit
    local -A seen=()
    limit=$(setting DISK_USED_MAX_PERCENT 80)
    while read -r place; do
        read -r used device < <(df --output=pcent,source "$place" | tail -n 1)
        [ -z "${seen[$device]:-}" ] || continue
        seen[$device]=yes
        used=${used%\%}
        [ "$used" -le "$limit" ] || refuse "the disk of $place is $used % used, more than $limit %" "Run prune, then: ops/runbooks/disk-full.md."
    done < <(engine_folders && echo "$ROOT")
}

check_ballast() { # what is deleted in the hour of a full disk, so that the database can start
    [ -f "$ROOT/ballast" ] || [ "$(setting BALLAST_MB 1)" = 0 ] ||
        refuse "$ROOT/ballast is missing: nothing is left to delete when the disk is full" "Make room, then run: wmctl host bootstrap. It makes it again (BALLAST_MB=0 in host.env: none is meant)."
}
