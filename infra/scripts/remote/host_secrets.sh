#!/bin/bash
# The secrets of a host, as files that only root and the services' group can read. Run as root on the host.
#
#   host_secrets.sh [--root DIR] [--owner USER:GROUP] make    make those that are missing; a repeat makes none
#   host_secrets.sh ...                    put NAME           take a value from stdin, such as a token somebody made
#   host_secrets.sh ...                    renew NAME         make a new one; the old file stays until `forget`
#   host_secrets.sh ...                    forget             delete files that secrets.env no longer names
#   host_secrets.sh ...                    list               names and ages in days, never a value
#
# A file's name ends in a part of its content's hash: a changed secret is a changed path, so Compose starts anew whoever
# reads it, and what runs keeps what it has until then. secrets.env, replaced by one rename, says which file is which.
# Exit codes: 0 done; 1 a tool failed, and secrets.env is as it was; 64 usage; 70 refused, nothing was changed.
set -Eeuo pipefail
umask 077
export LC_ALL=C

readonly NAMES=(DATABASE_CA DATABASE_CERTIFICATE DATABASE_KEY WINDMILL_DATABASE_URL WINDMILL_SALT
    WINDMILL_SUPERADMIN DOOR_DATABASE_PASSWORD DOOR_WINDMILL_TOKEN)
readonly SHORTEST=16 DAYS=397

ROOT=/opt/platform OWNER=root:10001 NEXT=

die() { # die CODE TEXT
    printf 'host_secrets: %s\n' "$2" >&2
    exit "$1"
}

known() { # known NAME
    [[ " ${NAMES[*]} " == *" $1 "* ]] || die 64 "there is no secret '$1'; there are: ${NAMES[*]}"
}

path_of() { sed -n "s/^SECRET_$1=//p" "$NEXT" | tail -n 1; }

have() { [ -s "$(path_of "$1")" ]; }

keep() { # keep NAME <value: a file of its own, and its line in the list that will be
    local name=$1 staging path
    staging=$(mktemp "$FOLDER/.new.XXXXXX")
    cat >"$staging"
    path=$FOLDER/$(tr '[:upper:]' '[:lower:]' <<<"$name").$(sha256sum "$staging" | cut -c1-12)
    chown "$OWNER" "$staging"
    chmod 0440 "$staging"
    mv -f "$staging" "$path"
    sed -i "/^SECRET_$name=/d" "$NEXT"
    printf 'SECRET_%s=%s\n' "$name" "$path" >>"$NEXT"
    printf 'made     %s\n' "$name"
}

random() { openssl rand -hex 24 | tr -d '\n'; }

url() { # url LOGIN
    printf 'postgres://%s:%s@postgres:5432/windmill' "$1" "$(random)"
}

certificates() { # a private authority that signs once, and the certificate of the name `postgres`; its key is thrown away
    local work
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$work'" RETURN
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$DAYS" -subj /CN=platform-database \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign \
        -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=postgres \
        -keyout "$work/key" -out "$work/request" 2>/dev/null
    printf 'subjectAltName=DNS:postgres\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >"$work/extensions"
    openssl x509 -req -in "$work/request" -CA "$work/ca.crt" -CAkey "$work/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
        -days "$DAYS" -extfile "$work/extensions" -out "$work/crt" 2>/dev/null
    keep DATABASE_CA <"$work/ca.crt"
    keep DATABASE_CERTIFICATE <"$work/crt"
    keep DATABASE_KEY <"$work/key"
}

make() {
    local name
    for name in "${NAMES[@]}"; do
        if have "$name"; then
            printf 'ok       %s\n' "$name"
            continue
        fi
        case $name in
            DATABASE_CA) certificates ;;
            DATABASE_*) die 70 "$name is missing beside its DATABASE_CA; run: host_secrets.sh renew DATABASE_CA" ;;
            WINDMILL_DATABASE_URL) url windmill_a | keep "$name" ;;
            *) random | keep "$name" ;;
        esac
    done
}

put() {
    local value
    value=$(cat)
    [ "${#value}" -ge "$SHORTEST" ] || die 70 "$1: a value has $SHORTEST characters or more; nothing was changed"
    [[ $value != *\<*\>* ]] || die 70 "$1: that is a placeholder; nothing was changed"
    printf '%s' "$value" | keep "$1"
}

renew() {
    case $1 in
        DATABASE_*) certificates ;;
        WINDMILL_SALT) die 70 "without the old salt no secret of a customer can be read; see docs/guides/secrets.md" ;;
        WINDMILL_DATABASE_URL) # the other of two logins that take turns: what runs keeps its own until the next deploy
            if grep -q '//windmill_a:' "$(path_of "$1")"; then url windmill_b; else url windmill_a; fi | keep "$1" ;;
        *) random | keep "$1" ;;
    esac
}

forget() {
    local file
    for file in "$FOLDER"/*.????????????; do
        [ -f "$file" ] || continue
        if ! grep -qF "=$file" "$NEXT"; then
            rm -f "$file"
            printf 'deleted  %s\n' "$(basename "$file")"
        fi
    done
}

list() {
    local name
    for name in "${NAMES[@]}"; do
        if have "$name"; then
            printf '%-24s %4s days\n' "$name" "$((($(date +%s) - $(stat -c %Y "$(path_of "$name")")) / 86400))"
        else
            printf '%-24s missing\n' "$name"
        fi
    done
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in
            --root) ROOT=${2:-} && shift 2 ;;
            --owner) OWNER=${2:-} && shift 2 ;;
            --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 0 ;;
            *) break ;;
        esac
    done
    readonly FOLDER=$ROOT/secrets
    readonly LIST=$FOLDER/secrets.env
    local verb=${1:-}
    [ -d "$FOLDER" ] || die 70 "there is no $FOLDER: make the host ready first"
    case $verb in
        make | list | forget) [ $# = 1 ] || die 64 "$verb takes no name" ;;
        put | renew) known "${2:-}" ;;
        *) die 64 "say make, put NAME, renew NAME, forget or list (--help tells more)" ;;
    esac
    NEXT=$(mktemp "$FOLDER/.list.XXXXXX")
    trap 'rm -f "$NEXT" "$FOLDER"/.new.*' EXIT
    [ ! -f "$LIST" ] || cat "$LIST" >"$NEXT"
    "$@"
    case $verb in make | put | renew) sort -o "$NEXT" "$NEXT" && mv -f "$NEXT" "$LIST" ;; esac
}

main "$@"
