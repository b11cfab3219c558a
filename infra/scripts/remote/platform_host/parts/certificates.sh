
# --- Certificates: what the world is shown at port 443, and whether the proxy still renews it in time.

# An array of {name, until, state, why}; empty while no proxy runs. State: fine, late, over, refused (visitors do not
# trust it) or none. The proxy asks for the next one when a third of a certificate's life is left, so at less than a
# sixth it was refused for half of that time.
certificates() {
    local container name
    container=$(container_of caddy)
    if [ -z "$container" ] || [ "$(docker inspect --format '{{.State.Running}}' "$container")" != true ]; then
        echo '[]'
        return
    fi
    while read -r name; do certificate_of "$name"; done < <(sed -n 's/^DOMAIN_[A-Z]*=//p' "$ROOT/host.env" 2>/dev/null | sort -u) |
        jq -s .
}

certificate_of() { # certificate_of NAME
    local shown dates from='' until='' verdict
    shown=$(timeout 5 openssl s_client -connect "127.0.0.1:$HTTPS_PORT" -servername "$1" -verify_hostname "$1" \
        -CAfile "$(setting SMOKE_CA /etc/ssl/certs/ca-certificates.crt)" </dev/null 2>/dev/null) || true # whatever it thinks of it
    if dates=$(openssl x509 -noout -dates <<<"$shown" 2>/dev/null); then
        from=$(date -d "$(sed -n 's/^notBefore=//p' <<<"$dates")" +%s)
        until=$(date -d "$(sed -n 's/^notAfter=//p' <<<"$dates")" +%s)
    fi
    verdict=$(sed -n 's/^ *Verify return code: [0-9]* (\(.*\))$/\1/p' <<<"$shown" | tail -n 1)
    jq -n --arg name "$1" --arg from "$from" --arg until "$until" --arg verdict "$verdict" '
        now as $now | ($from | tonumber? // null) as $from | ($until | tonumber? // null) as $until |
        {name: $name, until: (if $until then $until | todate else null end),
         state: (if $until == null then "none" elif $until <= $now then "over" elif $verdict != "ok" then "refused"
                 elif ($until - $now) * 6 < $until - $from then "late" else "fine" end),
         why: (if $until == null or $verdict == "ok" then "" else $verdict end)}'
}

check_certificates() {
    local name state until why way="The authority must reach ports 80 and 443 of this host, and this host the authority: logs caddy. It is asked again by itself, and at once after: docker restart platform-caddy-1."
    while IFS=$'\t' read -r name state until why; do
        case $state in
            none) refuse "$name is served without a certificate" "$way" ;;
            late) refuse "the certificate of $name ends $until and was not renewed in time" "$way" ;;
            over) refuse "the certificate of $name ended $until" "$way" ;;
            refused) refuse "visitors do not trust the certificate of $name: $why" "See ACME_DIRECTORY in host.env, and: logs caddy." ;;
        esac
    done < <(certificates | jq -r '.[] | [.name, .state, .until // "-", .why] | @tsv')
}
