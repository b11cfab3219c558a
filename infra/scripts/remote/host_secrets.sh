#!/bin/bash
# The secrets of a host, as files that only root and the services' group can read. Run as root on the host.
#
#   host_secrets.sh [--root DIR] [--owner USER:GROUP] make    make those that are missing; a repeat makes none
#   host_secrets.sh ...                    put NAME           take a value from stdin, such as the backups' public keys
#   host_secrets.sh ...                    take NAME          the same, but it waits for `next NAME` (a rotation does that)
#   host_secrets.sh ...                    renew NAME         make a new one; the old file stays until `forget`
#   host_secrets.sh ...                    next NAME          what waits takes its place
#   host_secrets.sh ...                    authority begin|certificate|end   the database's certificate, in three steps
#   host_secrets.sh ...                    forget             delete files that nothing names any more
#   host_secrets.sh ...                    list [--json]      names, ages in days, what is due; never a value
#   host_secrets.sh ...                    check              what is not as it should be; 1 when there is something
#   host_secrets.sh ...                    bundle             all of them, host.env and state, encrypted; prints its path
#   host_secrets.sh ...                    unbundle           the identity and then a bundle on stdin: a lost host's, put back
#
# A file's name ends in a part of its content's hash: a changed secret is a changed path, so Compose starts anew whoever
# reads it, and what runs keeps what it has until then. secrets.env, replaced by one rename, says which file is which.
# How a secret is replaced while it is in use is `platform_host.sh rotate`, which says these words in the right order.
# Exit codes: 0 done; 1 a tool failed or `check` found something; 64 usage; 70 refused, nothing was changed.
set -Eeuo pipefail
umask 077
export LC_ALL=C

readonly NAMES=(DATABASE_CA DATABASE_CERTIFICATE DATABASE_KEY WINDMILL_DATABASE_URL WINDMILL_SALT WINDMILL_SUPERADMIN
    DOOR_DATABASE_PASSWORD DOOR_WINDMILL_TOKEN BACKUP_DATABASE_PASSWORD BACKUP_RECIPIENTS)
# Known, and no service needs them: the database's administrator over the network, and who may open a bundle when that
# is somebody else than who may open a copy of the database.
readonly ALSO=(DATABASE_SUPERUSER_PASSWORD BUNDLE_RECIPIENTS)
readonly SHORTEST=16 DAYS=397 QUARTER=92 YEAR=366 BUNDLES_KEPT=5
readonly IDENTITY_FORM='AGE-SECRET-KEY-|BEGIN OPENSSH PRIVATE' RECIPIENT_FORM='^(age1[0-9a-z]{58}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]{40,}( .*)?)$'
readonly AGE_HEADER='age-encryption.org/v1'

ROOT=/opt/platform OWNER=root:10001 NEXT=

die() { # die CODE TEXT
    printf 'host_secrets: %s\n' "$2" >&2
    exit "$1"
}

known() { # known NAME
    [[ " ${NAMES[*]} ${ALSO[*]} " == *" $1 "* ]] || die 64 "there is no secret '$1'; there are: ${NAMES[*]} ${ALSO[*]}"
}

path_of() { sed -n "s/^${2:-SECRET}_$1=//p" "$NEXT" | tail -n 1; } # path_of NAME [SECRET|NEXT]

have() { [ -s "$(path_of "$1")" ]; }

keep() { # keep NAME [SECRET|NEXT] <value: a file of its own, and its line in the list that will be
    local name=$1 kind=${2:-SECRET} staging path
    staging=$(mktemp "$FOLDER/.new.XXXXXX")
    cat >"$staging"
    path=$FOLDER/$(tr '[:upper:]' '[:lower:]' <<<"$name").$(sha256sum "$staging" | cut -c1-12)
    chown "$OWNER" "$staging"
    chmod 0440 "$staging"
    mv -f "$staging" "$path"
    unlist "$name" "$kind"
    printf '%s_%s=%s\n' "$kind" "$name" "$path" >>"$NEXT"
}

unlist() { sed -i "/^$2_$1=/d" "$NEXT"; } # unlist NAME SECRET|NEXT

made() { printf 'made     %s\n' "$1"; }

# --- Making them ---------------------------------------------------------------------------------------------

random() { openssl rand -hex 24 | tr -d '\n'; }

url() { # url LOGIN
    printf 'postgres://%s:%s@postgres:5432/windmill' "$1" "$(random)"
}

quietly() { # quietly WORD...: openssl, whose dots nobody reads, and whose words are shown when it fails
    local said
    said=$(openssl "$@" 2>&1) || die 1 "openssl $1 failed: $(tail -n 3 <<<"$said" | tr '\n' ' ' | cut -c1-300)"
}

certificates() { # certificates SECRET|NEXT: a private authority that signs once, and the certificate of the name `postgres`
    local work
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$work'" RETURN
    # Its key is thrown away. Each has a name of its own: clients trust two while they change, and look up by name.
    quietly req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$DAYS" \
        -subj "/CN=platform-database $(openssl rand -hex 4)" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign \
        -keyout "$work/ca.key" -out "$work/ca.crt"
    quietly req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=postgres \
        -keyout "$work/key" -out "$work/request"
    printf 'subjectAltName=DNS:postgres\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >"$work/extensions"
    quietly x509 -req -in "$work/request" -CA "$work/ca.crt" -CAkey "$work/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
        -days "$DAYS" -extfile "$work/extensions" -out "$work/crt"
    keep DATABASE_CA "$1" <"$work/ca.crt"
    keep DATABASE_CERTIFICATE "$1" <"$work/crt"
    keep DATABASE_KEY "$1" <"$work/key"
}

make() {
    local name
    for name in "${NAMES[@]}"; do
        if have "$name"; then
            printf 'ok       %s\n' "$name"
            continue
        fi
        case $name in
            DATABASE_CA) certificates SECRET ;;
            DATABASE_*) die 70 "$name is missing beside its DATABASE_CA; run: host_secrets.sh renew DATABASE_CA" ;;
            WINDMILL_DATABASE_URL) url windmill_a | keep "$name" ;;
            BACKUP_RECIPIENTS) # whose private halves are on no host, so they cannot be made here
                printf 'needed   %s: host_secrets.sh put %s, with a file of public keys on stdin\n' "$name" "$name"
                continue
                ;;
            *) random | keep "$name" ;;
        esac
        made "$name"
    done
}

given() { # given NAME: the value on stdin when it may be one
    local value
    value=$(cat)
    [[ $value != *\<*\>* ]] || die 70 "$1: that is a placeholder; nothing was changed"
    case $1 in
        *_RECIPIENTS)
            ! grep -Eq "$IDENTITY_FORM" <<<"$value" || die 70 "$1: that is a private key, and no host may have it; give its public half. Nothing was changed"
            value=$(grep -Ev '^[[:space:]]*(#|$)' <<<"$value" || true)
            if [ -z "$value" ] || grep -Evq "$RECIPIENT_FORM" <<<"$value"; then
                die 70 "$1: give public keys of age, one a line, such as age1...; nothing was changed"
            fi
            ;;
        DATABASE_CA | DATABASE_CERTIFICATE | DATABASE_KEY | WINDMILL_DATABASE_URL) ;;
        *) [[ $value =~ ^[!-~]+$ ]] || die 70 "$1: a value is one word of plain letters; nothing was changed" ;;
    esac
    [ "${#value}" -ge "$SHORTEST" ] || die 70 "$1: a value has $SHORTEST characters or more; nothing was changed"
    printf '%s' "$value"
}

put() {
    local value
    value=$(given "$1")
    if [ "$1" = WINDMILL_SALT ] && have WINDMILL_SALT && [ "$value" != "$(cat "$(path_of WINDMILL_SALT)")" ]; then
        die 70 "without the old salt no secret of a customer can be read; see docs/guides/secrets.md"
    fi
    printf '%s' "$value" | keep "$1"
    made "$1"
}

take() {
    local value
    value=$(given "$1")
    printf '%s' "$value" | keep "$1" NEXT
    printf 'waits    %s\n' "$1"
}

next() {
    local file
    file=$(path_of "$1" NEXT)
    [ -s "$file" ] || die 70 "nothing waits to be $1: host_secrets.sh take $1"
    keep "$1" <"$file"
    unlist "$1" NEXT
    made "$1"
}

renew() {
    case $1 in
        DATABASE_CA | DATABASE_CERTIFICATE | DATABASE_KEY)
            have DATABASE_CA && have DATABASE_CERTIFICATE && have DATABASE_KEY &&
                die 70 "clients would meet a certificate they do not trust yet; run: platform_host.sh rotate database-tls"
            certificates SECRET
            ;;
        WINDMILL_SALT) die 70 "without the old salt no secret of a customer can be read; see docs/guides/secrets.md" ;;
        *_RECIPIENTS) die 70 "$1 are public keys of people; run: host_secrets.sh put $1" ;;
        WINDMILL_DATABASE_URL) # the other of two logins that take turns: what runs keeps its own until the next deploy
            if grep -q '//windmill_a:' "$(path_of "$1")"; then url windmill_b; else url windmill_a; fi | keep "$1" ;;
        *) random | keep "$1" ;;
    esac
    made "$1"
}

# Clients must never meet a certificate of an authority that they do not trust: first they trust two, then the
# certificate changes, then they trust the new one alone. Each step may be repeated.
authority() {
    case ${1:-} in
        begin)
            [ -s "$(path_of DATABASE_CA NEXT)" ] || certificates NEXT
            cat "$(path_of DATABASE_CA NEXT)" "$(path_of DATABASE_CA)" | trusted_once | keep DATABASE_CA
            ;;
        certificate)
            [ -s "$(path_of DATABASE_CA NEXT)" ] || die 70 "no new authority waits: authority begin"
            keep DATABASE_CERTIFICATE <"$(path_of DATABASE_CERTIFICATE NEXT)"
            keep DATABASE_KEY <"$(path_of DATABASE_KEY NEXT)"
            ;;
        end)
            [ -s "$(path_of DATABASE_CA NEXT)" ] || die 70 "no new authority waits: authority begin"
            cmp -s "$(path_of DATABASE_CERTIFICATE)" "$(path_of DATABASE_CERTIFICATE NEXT)" ||
                die 70 "the database still shows the old certificate: authority certificate"
            keep DATABASE_CA <"$(path_of DATABASE_CA NEXT)"
            for one in DATABASE_CA DATABASE_CERTIFICATE DATABASE_KEY; do unlist "$one" NEXT; done
            ;;
        *) die 64 "say authority begin, certificate or end" ;;
    esac
    printf 'authority: %s\n' "$1"
}

trusted_once() { # certificates on stdin, each once and in their order: a repeat adds none
    awk '/BEGIN CERT/ {one = ""} {one = one $0 "\n"} /END CERT/ {if (!seen[one]++) printf "%s", one}'
}

forget() { # what neither the list nor what serves names
    local file
    for file in "$FOLDER"/*.????????????; do
        [ -f "$file" ] || continue
        # A container that is started again looks for the files that it was made with.
        if ! grep -qsF "=$file" "$NEXT" "$ROOT/release.env"; then
            rm -f "$file"
            printf 'deleted  %s\n' "$(basename "$file")"
        fi
    done
}

# --- Looking -------------------------------------------------------------------------------------------------

due_days() { # due_days NAME: after how many days it is replaced; empty for never
    case $1 in
        WINDMILL_SALT) ;;
        DATABASE_CA | DATABASE_CERTIFICATE | DATABASE_KEY | *_RECIPIENTS) echo $YEAR ;;
        *) echo $QUARTER ;;
    esac
}

age_days() { echo $((($(date +%s) - $(stat -c %Y "$1")) / 86400)); }

facts() { # one line a name: NAME STATE AGE DUE-IN, - for what is not known
    local name due age state
    for name in "${NAMES[@]}" "${ALSO[@]}"; do
        if ! have "$name"; then
            [[ " ${ALSO[*]} " == *" $name "* ]] || printf '%s missing - -\n' "$name"
            continue
        fi
        due=$(due_days "$name") age=$(age_days "$(path_of "$name")") state=here
        [ -z "$due" ] || [ "$age" -lt "$due" ] || state=overdue
        printf '%s %s %s %s\n' "$name" "$state" "$age" "${due:+$((due - age))}"
    done
}

list() {
    if [ "${1:-}" = --json ]; then
        facts | jq -Rn '[inputs | split(" ") | {name: .[0], state: .[1], age_days: (.[2] | tonumber? // null),
            due_in_days: (.[3] | tonumber? // null)}]'
        return
    fi
    facts | while read -r name state age due; do
        case $state in
            missing) printf '%-28s missing\n' "$name" ;;
            overdue) printf '%-28s %4s days, overdue by %s\n' "$name" "$age" "$((-due))" ;;
            *) printf '%-28s %4s days%s\n' "$name" "$age" "${due:+, due in $due}" ;;
        esac
    done
}

FOUND=0
wrong() { # wrong WHAT WAY-OUT
    FOUND=$((FOUND + 1))
    printf 'wrong    %s. %s\n' "$1" "$2"
}

check() {
    local name state age due file newest bundle
    [ "$(stat -c %a "$FOLDER")" = 750 ] || wrong "$FOLDER has mode $(stat -c %a "$FOLDER") and not 750" "Run: chmod 0750 $FOLDER"
    while read -r name state age due; do
        case $state in
            missing) wrong "$name is missing" "Run: host_secrets.sh make, or put $name" ;;
            overdue) wrong "$name is $age days old, overdue by $((-due))" "Replace it: docs/guides/rotate.md" ;;
        esac
    done < <(facts)
    check_files
    ! grep -q '^NEXT_' "$NEXT" || wrong "a rotation is half done" "Run it again; see: platform_host.sh status"
    newest=$(find "$FOLDER" -maxdepth 1 -type f -name '*.????????????' -printf '%T@ %p\n' | sort -rn | head -n 1 | cut -d' ' -f2)
    bundle=$(newest_bundle)
    if [ -z "$bundle" ]; then
        wrong "there is no bundle of them" "Run: host_secrets.sh bundle, and fetch it"
    elif [ -n "$newest" ] && [ "$newest" -nt "$bundle" ]; then
        wrong "the newest bundle is older than $(basename "$newest" | sed 's/\..*//')" "Run: host_secrets.sh bundle, and fetch it"
    fi
    [ "$FOUND" -gt 0 ] || printf 'ok       %s secrets, and the bundle is newer\n' "$(facts | grep -vc ' missing ')"
    [ "$FOUND" = 0 ]
}

check_files() { # who may read them, and those that nobody needs any more
    local file mode
    while read -r file; do
        [ -s "$file" ] || continue
        mode=$(stat -c %a "$file")
        case $mode in *0) ;; *) wrong "everybody can read $file (mode $mode)" "Run: chmod 0440 $file, then replace it" ;; esac
        [ "$(stat -c %U:%g "$file")" = "$(owner_as_shown)" ] || wrong "$file belongs to $(stat -c %U:%g "$file")" "Run: chown $OWNER $file"
    done < <(sed -n 's/^\(SECRET\|NEXT\)_[A-Z_]*=//p' "$NEXT")
    for file in "$FOLDER"/*.????????????; do
        [ ! -f "$file" ] || grep -qsF "=$file" "$NEXT" "$ROOT/release.env" || wrong "nothing uses $file any more" "Run: host_secrets.sh forget"
    done
}

owner_as_shown() { # OWNER as stat shows it: the user by name, the group by number
    local user=${OWNER%%:*} group=${OWNER##*:}
    printf '%s:%s' "$(id -nu "$user" 2>/dev/null || echo "$user")" "$(getent group "$group" | cut -d: -f3 | grep . || echo "$group")"
}

# --- All of them in one encrypted file -----------------------------------------------------------------------

newest_bundle() { # empty while there is none
    [ ! -d "$ROOT/bundles" ] || find "$ROOT/bundles" -maxdepth 1 -name '*.tar.age' | sort | tail -n 1
}

bundle() {
    local recipients name part
    recipients=$(path_of BUNDLE_RECIPIENTS)
    [ -s "$recipients" ] || recipients=$(path_of BACKUP_RECIPIENTS)
    [ -s "$recipients" ] || die 70 "nobody could open it: host_secrets.sh put BUNDLE_RECIPIENTS, with a file of public keys on stdin"
    command -v age >/dev/null || die 70 "age is not installed. Run: wmctl host bootstrap"
    local -a files=(secrets/secrets.env)
    local file
    while read -r file; do
        [ -s "$file" ] || die 70 "$file is missing or empty: a bundle has all or is none"
        case $(stat -c %a "$file") in *0) ;; *) die 70 "everybody can read $file: replace it first; docs/guides/secrets.md" ;; esac
        [[ $file == "$FOLDER"/* ]] || die 70 "$file is not in $FOLDER"
        files+=("secrets/${file##*/}")
    done < <(sed -n 's/^\(SECRET\|NEXT\)_[A-Z_]*=//p' "$LIST" | sort -u)
    for file in host.env release.env state/deployed.json state/audit.jsonl proxy/local door; do
        [ ! -e "$ROOT/$file" ] || files+=("$file")
    done
    [ -d "$ROOT/bundles" ] || mkdir -m 0700 "$ROOT/bundles"
    name=$ROOT/bundles/$(date -u +%Y%m%dT%H%M%SZ).tar.age
    part=$ROOT/bundles/.part
    packed "$recipients" "$part" "${files[@]}" || { rm -f "$part" && die 1 "no bundle was made; the lines above say why"; }
    sync "$part"
    mv -f "$part" "$name"
    find "$ROOT/bundles" -maxdepth 1 -name '*.tar.age' | sort -r | tail -n "+$((BUNDLES_KEPT + 1))" | xargs -r rm -f
    printf '%s\n' "$name"
}

packed() { # packed RECIPIENTS PART FILE...: once more when a file was written meanwhile, as the audit is
    local recipients=$1 part=$2
    local -a ends
    shift 2
    for _ in 1 2 3; do
        set +o errexit
        tar -C "$ROOT" --format=gnu --numeric-owner -cf - -- "$@" | age --encrypt --recipients-file "$recipients" --output "$part"
        ends=("${PIPESTATUS[@]}")
        set -o errexit
        [ "${ends[0]}" = 1 ] || break # what tar says when a file changed as it read it
        rm -f "$part"
    done
    [ "${ends[0]}" = 0 ] && [ "${ends[1]}" = 0 ]
}

unbundle() { # into a host that has no secrets of its own; whole or not at all
    local work at file
    [ ! -e "$LIST" ] || die 70 "this host has secrets of its own; nothing was changed. Move $FOLDER away when they are not needed"
    command -v age >/dev/null || die 70 "age is not installed. Run: wmctl host bootstrap"
    work=$(mktemp -d /dev/shm/unbundle.XXXXXX) # memory: the identity never touches the disk
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$work'; rm -f '$NEXT'" EXIT
    cat >"$work/given"
    at=$(grep -abom1 "^$AGE_HEADER" "$work/given" | cut -d: -f1) || true
    [ -n "$at" ] || die 70 "give the identity and then the bundle on stdin: cat identity bundle | host_secrets.sh unbundle"
    head -c "$at" "$work/given" >"$work/identity"
    grep -Eq "$IDENTITY_FORM" "$work/identity" || die 70 "before the bundle there is no identity of age: cat identity bundle | host_secrets.sh unbundle"
    tail -c "+$((at + 1))" "$work/given" | age --decrypt --identity "$work/identity" >"$work/tar" 2>"$work/said" ||
        die 70 "the bundle does not open: $(tail -n 2 "$work/said" | head -n 1 | sed 's/^age: //'). Nothing was changed"
    rm -f "$work/given" "$work/identity"
    tar -tvf "$work/tar" >"$work/names" 2>/dev/null || die 70 "the bundle holds no archive; nothing was changed"
    ! awk '$1 !~ /^[-d]/ || $6 !~ /^(secrets\/|host.env$|release.env$|state\/(deployed.json|audit.jsonl)$|proxy\/local|door)/ || $6 ~ /(^|\/)\.\.(\/|$)/ {bad = 1} END {exit !bad}' "$work/names" ||
        die 70 "the bundle holds something else than a host's secrets; nothing was changed"
    ! grep -Eq '^-.{6}r.* secrets/' "$work/names" || die 70 "in the bundle there is a secret that everybody could read; nothing was changed"
    mkdir "$work/new"
    tar -C "$work/new" -xf "$work/tar" --no-same-owner --no-same-permissions
    while read -r file; do
        [ -s "$work/new/secrets/${file##*/}" ] || die 70 "the bundle lacks ${file##*/}; nothing was changed"
    done < <(sed -n 's/^\(SECRET\|NEXT\)_[A-Z_]*=//p' "$work/new/secrets/secrets.env")
    put_in_place "$work/new"
}

put_in_place() { # put_in_place DIR: the list last, since it is what makes them the host's
    local dir=$1 file
    for file in "$dir"/secrets/*.????????????; do
        cp --preserve=timestamps "$file" "$FOLDER/"
        chown "$OWNER" "$FOLDER/${file##*/}"
        chmod 0440 "$FOLDER/${file##*/}"
    done
    [ ! -d "$dir/proxy/local" ] || { mkdir -p "$ROOT/proxy" && cp -R "$dir/proxy/local" "$ROOT/proxy/" && chmod -R a+rX "$ROOT/proxy/local"; }
    if [ -d "$dir/door" ]; then
        mkdir -p "$ROOT/door"
        cp --preserve=timestamps "$dir"/door/* "$ROOT/door/" 2>/dev/null || true
        chown -R --reference="$ROOT/door" "$ROOT/door"
        find "$ROOT/door" -type f -exec chmod 0600 {} +
    fi
    [ ! -f "$dir/state/audit.jsonl" ] || { mkdir -p "$ROOT/state" && cat "$dir/state/audit.jsonl" "$ROOT/state/audit.jsonl" 2>/dev/null >"$ROOT/state/.audit" || true; }
    [ ! -f "$ROOT/state/.audit" ] || mv -f "$ROOT/state/.audit" "$ROOT/state/audit.jsonl"
    [ -f "$ROOT/host.env" ] || [ ! -f "$dir/host.env" ] || install -m 0644 "$dir/host.env" "$ROOT/host.env"
    sed "s|=.*/secrets/|=$FOLDER/|" "$dir/secrets/secrets.env" >"$NEXT"
    mv -f "$NEXT" "$LIST"
    sync "$FOLDER"
    printf 'in place %s secrets\n' "$(grep -c '^SECRET_' "$LIST")"
    [ ! -f "$dir/state/deployed.json" ] || printf 'served   %s: deploy that release\n' "$(jq -r .version "$dir/state/deployed.json")"
    cmp -s "$dir/host.env" "$ROOT/host.env" || { install -m 0644 "$dir/host.env" "$ROOT/host.env.lost" && printf 'compare  %s with %s\n' "$ROOT/host.env.lost" "$ROOT/host.env"; }
}

# --- Words ---------------------------------------------------------------------------------------------------

main() {
    while [ $# -gt 0 ]; do
        case $1 in --root | --owner) [ $# -ge 2 ] || die 64 "$1 wants a value (--help tells more)" ;; esac
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
        make | check | forget | bundle | unbundle) [ $# = 1 ] || die 64 "$verb takes no name" ;;
        list) [ $# = 1 ] || [ "$*" = "list --json" ] || die 64 "list takes --json and nothing else" ;;
        authority) [ $# = 2 ] || die 64 "say authority begin, certificate or end" ;;
        put | take | next | renew) known "${2:-}" ;;
        *) die 64 "say make, put NAME, take NAME, next NAME, renew NAME, authority STEP, forget, list, check, bundle or unbundle (--help tells more)" ;;
    esac
    case $verb in
        list | check) trap 'rm -f "$NEXT"' EXIT ;;
        *) # of two lists that are written at once the last would win
            exec 8<"$FOLDER"
            flock --wait 30 8 || die 1 "somebody else changes the secrets just now. Say it again"
            trap 'rm -f "$NEXT" "$FOLDER"/.new.*' EXIT
            ;;
    esac
    NEXT=$(mktemp "$FOLDER/.list.XXXXXX")
    [ ! -f "$LIST" ] || awk 1 "$LIST" >"$NEXT" # a last line that a hand left unended would swallow the next
    "$@"
    case $verb in make | put | take | next | renew | authority) sort -o "$NEXT" "$NEXT" && sync "$NEXT" && mv -f "$NEXT" "$LIST" ;; esac
}

main "$@"
