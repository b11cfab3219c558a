
# --- How it speaks: to who reads its log, to the audit, and into files that are never half written.

stamp() { date -u +%Y-%m-%dT%H:%M:%SZ; }

say() { printf '%s  %s\n' "$(stamp)" "$*"; }

die() { # die CODE TEXT
    printf 'platform_host: %s\n' "$2" >&2
    exit "$1"
}

# Each refusal names the thing, the reason and the way out; all are shown before the program ends.
refuse() { # refuse REASON WAY-OUT
    PROBLEMS=$((PROBLEMS + 1))
    printf '%s  refused: %s. %s\n' "$(stamp)" "$1" "$2"
}

audit() { # audit EVENT [NAME VALUE]...
    local event=$1 line
    shift
    line=$(jq -cn --arg at "$(stamp)" --arg event "$event" --arg run "$RUN" --arg by "$BY" \
        '{at: $at, event: $event, run: $run, by: $by} + ($ARGS.positional as $words |
            [range(0; $words | length; 2) | {($words[.]): $words[. + 1]}] | add // {})' --args -- "$@")
    # What it tells of is done already: without room for the line the run's own log has it, and the way back goes on.
    { printf '%s\n' "$line" >>"$STATE/audit.jsonl" && sync "$STATE/audit.jsonl"; } || say "warning: the audit takes no more: $line"
}

# The old content or the new, never a part; it fails by itself, whether who called would end then or not. A file of facts
# is never empty: then who should have written it failed.
write_whole() { # write_whole FILE <content
    local staging
    staging=$(mktemp "$1.XXXXXX") || return 1
    if cat >"$staging" && { [ -s "$staging" ] || [[ $1 != *.json ]]; } && chmod 0644 "$staging" && sync "$staging" && mv -f "$staging" "$1"; then
        sync "$(dirname "$1")"
        return
    fi
    rm -f "$staging"
    return 1
}

no_room() { # no_room FILE: WHY, when it could not be written; the tool's own words stand above it
    WHY="the disk takes no more: $1 cannot be written"
    return 1
}

at_least() { # at_least HAVE FLOOR, as versions
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Nothing that outlives this program may hold the lock: descriptor 9 is closed for all that is started.
docker() { command docker "$@" 9>&-; }
