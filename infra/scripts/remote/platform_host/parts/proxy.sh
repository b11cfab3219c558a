
# --- The proxy: its files, where its traffic goes, and a look through it.

check_proxy() { # before anything is changed; its images are here by now
    validate_proxy || refuse "$WHY" "Correct the release's Caddyfile, or the names in host.env."
}

validate_proxy() { # the candidate's proxy files, by the candidate's own proxy, in a folder of their own
    local staging=$ROOT/proxy.candidate image said code=0
    image=$(jq -r '.images["platform-caddy"] // empty' "$NEW_DIR/release.json")
    [ -n "$image" ] && [ -d "$NEW_DIR/caddy" ] || return 0
    ! proxy_is_the_same "$image" || return 0
    rm -rf "$staging"
    cp -a "$NEW_DIR/caddy" "$staging"
    [ ! -d "$PROXY/local" ] || cp -a "$PROXY/local" "$staging/" # the host's own options, which no release brings
    printf '%s' "$NEW_COLOR" >"$staging/color"
    chmod -R a+rX "$staging"
    # The environment wins over the file of values: the same service, with another folder.
    said=$(PROXY_DIR=$staging compose run --rm --no-deps -T caddy validate --config /etc/caddy/Caddyfile 2>&1) || code=$?
    rm -rf "$staging"
    [ "$code" = 0 ] || { WHY="the proxy refuses its file: $(tail -n 1 <<<"$said" | cut -c1-300)" && return 1; }
}

proxy_is_the_same() { # proxy_is_the_same IMAGE: it runs, with these very files and values: nothing is left to validate
    local container file
    container=$(container_of caddy)
    [ -n "$container" ] && [ "$(docker inspect --format '{{.Image}}' "$container")" = "$(image_id "$1")" ] || return 1
    cmp -s <(grep -E '^(DOMAIN_|ACME_|WINDMILL_ALLOWED=)' "$NEW_ENV") <(grep -E '^(DOMAIN_|ACME_|WINDMILL_ALLOWED=)' "$ROOT/release.env") || return 1
    for file in "$NEW_DIR"/caddy/*; do cmp -s "$file" "$PROXY/${file##*/}" || return 1; done
}

place_proxy() { # place_proxy DIR COLOR: the release's files on the path that never changes, then the switch
    local dir=$1 color=$2 file differ=
    mkdir -p "$PROXY"
    [ ! -d "$dir/caddy" ] || for file in "$dir"/caddy/*; do
        if [ -f "$file" ] && ! cmp -s "$file" "$PROXY/${file##*/}"; then
            write_whole "$PROXY/${file##*/}" <"$file" || no_room "$PROXY/${file##*/}" || return 1
            differ=yes
        fi
    done
    # A reload resets whoever is just connecting, so there is none without need.
    [ -z "$differ" ] || reload_proxy || { WHY="the proxy does not take its file" && return 1; }
    switch_traffic "$color"
}

switch_traffic() { # switch_traffic COLOR: the proxy reads this file at each request; a rename loses nobody
    printf '%s' "$1" | write_whole "$PROXY/color" || no_room "$PROXY/color"
}

reload_proxy() {
    local container
    container=$(container_of caddy)
    [ -n "$container" ] && [ "$(docker inspect --format '{{.State.Running}}' "$container")" = true ] || return 0
    docker exec "$container" caddy reload --config /etc/caddy/Caddyfile \
        --address "$(setting CADDY_ADMIN unix//run/caddy/admin.sock)" >/dev/null 2>&1
}

smoke() { # as the world comes in: through the proxy to the candidate, and by its certificate
    local container body wanted name code looks
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
    # The first certificate of a host takes some seconds. While the name still leads to a host that this one replaces,
    # none can be had; behind a hoster's translated address one can, so there is a short look.
    looks=30
    leads_here "$name" || looks=2
    for ((; looks > 0; looks--)); do
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
