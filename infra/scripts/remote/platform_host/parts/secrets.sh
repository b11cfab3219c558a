
# --- Secrets of this host: are they there and nobody else's to read, and does the database know its logins.

# What makes, lists and bundles them; it stands beside this program.
secrets_program() { "$(dirname "$PROGRAM")/host_secrets.sh" --root "$ROOT" "$@" 9>&-; }

command_secrets() { # names and ages, what is wrong, a bundle that only its recipients open; never a value
    local made
    [ -x "$(dirname "$PROGRAM")/host_secrets.sh" ] || die $REFUSED "host_secrets.sh is not beside this program. Run: wmctl host bootstrap."
    case ${1:-} in
        list | check) secrets_program "$@" ;;
        take) # a token that somebody made elsewhere; it waits until it is rotated in
            [ "$*" = "take DOOR_WINDMILL_TOKEN" ] || die $USAGE "only DOOR_WINDMILL_TOKEN is taken from elsewhere"
            take_lock take DOOR_WINDMILL_TOKEN # a rotation that goes back puts the whole list back
            secrets_program take DOOR_WINDMILL_TOKEN
            ;;
        put) # put NAME [--by WHO]: a value that a person gives, on stdin; what runs keeps its own until the next deploy
            [ -z "${GATED:-}" ] || die $USAGE "only root puts a secret"
            [[ ${2:-} =~ ^[A-Z_]+$ ]] || die $USAGE "say: secrets put NAME, with the value on stdin"
            [ "${3:-}" != --by ] || BY=${4:-unknown}
            take_lock put "$2"
            secrets_program put "$2"
            audit put kind "$2"
            ;;
        unbundle)
            [ -z "${GATED:-}" ] || die $USAGE "only root puts a bundle back"
            secrets_program unbundle
            audit unbundled secrets "$(grep -c "^SECRET_" "$ROOT/secrets/secrets.env")"
            ;;
        bundle)
            made=$(secrets_program bundle)
            audit bundled name "$(basename "$made")"
            cat "$made"
            ;;
        *) die $USAGE "say: secrets list [--json], secrets check, secrets take DOOR_WINDMILL_TOKEN, secrets put NAME, secrets bundle, or secrets unbundle" ;;
    esac
}

check_secrets() { # those that the release's files name: there, not empty, root's own, and nobody else's to read
    local file mode owner name
    for name in DATABASE_CERTIFICATE DATABASE_KEY; do
        [ -n "$(value_of "$NEW_ENV" "SECRET_$name")" ] || refuse "the secret $name is missing" "Run: host_secrets.sh make."
    done
    while read -r file; do
        [ -n "$file" ] || continue
        if [ ! -s "$file" ]; then
            refuse "the secret $file is missing or empty" "Put it there: docs/guides/secrets.md."
            continue
        fi
        mode=$(stat -c %a "$file") owner=$(stat -c %u "$file")
        case $mode in *[4567]?) ;; *) refuse "no service can read the secret $file (mode $mode)" "Run: chmod 0440 $file." ;; esac
        case $mode in *0) ;; *) refuse "everybody can read the secret $file (mode $mode)" "Run: chmod 0440 $file, then rotate it." ;; esac
        [ "$owner" = 0 ] || refuse "the secret $file belongs to user $owner" "Run: chown root:10001 $file."
    done < <(
        jq -r '.secrets // {} | .[] | .file // empty' <<<"$CONFIG"
        value_of "$NEW_ENV" SECRET_DATABASE_CERTIFICATE
        value_of "$NEW_ENV" SECRET_DATABASE_KEY
    )
}

check_login() { # a new password under the login in use would shut out the server that serves
    local new old
    new=$(cat "$(value_of "$NEW_ENV" SECRET_WINDMILL_DATABASE_URL)" 2>/dev/null || true)
    old=$(cat "$(value_of "$ROOT/release.env" SECRET_WINDMILL_DATABASE_URL)" 2>/dev/null || true)
    [ -n "$old" ] && [ "$new" != "$old" ] && [ "$(login_of "$new")" = "$(login_of "$old")" ] || return 0
    refuse "the new database address has the login in use, $(login_of "$new"), with another password or place" \
        "Put the old one back, then: rotate windmill-database. Both logins are good while servers change."
}

login_of() { # login_of URL
    local rest=${1#*://}
    printf '%s' "${rest%%:*}"
}

# What the database shows, on the path that never changes; certificate and key are one file, so that no moment has one of
# each. A running database reads it again and keeps every session that it has.
place_certificate() { # place_certificate ENV
    local folder container staging certificate key
    certificate=$(value_of "$1" SECRET_DATABASE_CERTIFICATE) key=$(value_of "$1" SECRET_DATABASE_KEY)
    folder=$(setting DATABASE_TLS_DIR "$ROOT/database-tls")
    [ -s "$certificate" ] && [ -s "$key" ] || return 0
    mkdir -p "$folder" || return 1
    chown --reference="$key" "$folder" && chmod 0750 "$folder" || return 1
    staging=$(mktemp "$folder/.server.XXXXXX") && awk 1 "$certificate" "$key" >"$staging" || return 1
    if cmp -s "$staging" "$folder/server.pem"; then
        rm -f "$staging"
        return 0
    fi
    chown --reference="$key" "$staging" && chmod 0440 "$staging" && sync "$staging" && mv -f "$staging" "$folder/server.pem" || return 1
    container=$(container_of postgres)
    [ -n "$container" ] && [ "$(docker inspect --format '{{.State.Running}}' "$container")" = true ] || return 0
    # From inside: after a signal of Docker's, any signal, the container counts as stopped by hand and stays away after
    # the next reboot (seen: the database did not come up again).
    docker exec "$container" pg_ctl reload --silent >/dev/null
}

shows_certificate() { # shows_certificate ENV: what answers as `postgres` is the listed certificate, and clients trust it
    local container certificate
    container=$(container_of postgres) certificate=$(value_of "$1" SECRET_DATABASE_CERTIFICATE)
    for _ in {1..50}; do
        if openssl s_client -starttls postgres -connect "$(address_of "$container"):5432" -verify_return_error -verify_hostname postgres \
            -CAfile "$(value_of "$1" SECRET_DATABASE_CA)" </dev/null 2>/dev/null | openssl x509 2>/dev/null | cmp -s - "$certificate"; then
            return 0
        fi
        sleep 0.2
    done
    WHY="the database does not show its new certificate"
    return 1
}

let_in() { # let_in VERB NAME: the database learns a login from the file that NAME says; again and again the same
    local file
    file=$(value_of "$NEW_ENV" "$2")
    [ -n "$file" ] || return 0
    compose exec -T postgres platform-postgres "$1" <"$file" >/dev/null 2>&1 || { WHY="the database refuses the login of $2" && return 1; }
}

value_of() { sed -n "s/^$2=//p" "$1" 2>/dev/null | tail -n 1; }
