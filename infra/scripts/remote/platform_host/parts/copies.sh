
# --- Copies of the data: made, listed, tried, carried off this host and back to one.

command_backup() {
    local verb=${1:-}
    [ $# = 0 ] || shift
    case $verb in
        now | list | drill | files | bytes | sums) "copies_$verb" "$@" ;;
        take | forget) # these write what a restore would read, or end the way back
            require_root "backup $verb"
            "copies_$verb" "$@"
            ;;
        *) die $USAGE "say: backup now, list, drill, files, bytes, sums; as root also take and forget" ;;
    esac
}

require_root() { # what the deploy key must not say, said past its gate or not
    [ -z "$GATED" ] || die $USAGE "a deploy key cannot say '$1'. Say it as root: wmctl backup ... --as root"
}

backup_folder() { setting BACKUP_DIR "$ROOT/backups"; }

# The folder belongs to the service. What root does in it is done as its owner: a link that somebody put there leads
# nowhere that the owner could not go.
as_owner() { # as_owner FOLDER PROGRAM [WORD...]
    local owner
    owner=$(stat -c %u:%g "$1")
    shift
    cd / # the deploy account's own folder is closed to that owner, and `find` must come back to where it began
    if [ "$(id -u)" != 0 ] || [ "${owner%%:*}" = 0 ]; then
        "$@"
    else
        setpriv --reuid "${owner%%:*}" --regid "${owner##*:}" --clear-groups -- "$@"
    fi
}

in_backup() { # in_backup WORD...: the program in the running service
    local container
    container=$(container_of backup)
    [ -n "$container" ] || die $REFUSED "there is no backup service on this host. Deploy a release first."
    docker exec --interactive "$container" backup "$@"
}

judged() { # judged CODE: the program's own exit codes, as this one's: refused is 70, failed is 1
    case $1 in
        0) return 0 ;;
        2 | 3 | 4 | 6) return $REFUSED ;;
        *) return $FAILED ;;
    esac
}

copies_now() {
    local rc=0 reason=byhand
    while [ $# -gt 0 ]; do
        case $1 in
            --reason) reason=${2:-} && shift ;;
            --by) BY=${2:-unknown} && shift ;;
            *) die $USAGE "backup now knows no '$1'" ;;
        esac
        shift
    done
    in_backup now --reason "$reason" || rc=$?
    [ "$rc" = 0 ] || judged "$rc"
    audit copied reason "$reason"
}

copies_list() { # what there is, how far back, the last drill, bundles, and what restores set aside
    local found drill bundles aside rc=0
    [ $# = 0 ] || [ "$*" = --json ] || die $USAGE "say: backup list [--json]"
    found=$(in_backup list --json) || rc=$?
    [ "$rc" = 0 ] || judged "$rc"
    drill=$(as_owner "$(backup_folder)" cat "$(backup_folder)/drill.json" 2>/dev/null | jq -c . 2>/dev/null) || drill=null
    bundles=$(find "$ROOT/bundles" -maxdepth 1 -type f ! -name '.*' -printf '%f\t%s\t%TY-%Tm-%TdT%TH:%TM:%.2TSZ\n' 2>/dev/null |
        jq -Rn '[inputs | split("\t") | {name: .[0], bytes: (.[1] | tonumber), at: .[2]}] | sort_by(.name)') || bundles='[]'
    aside='[]' OLD=$(deployed version)
    [ -z "$OLD" ] || { aside=$(aside_of_cluster) && aside=$(jq -Rn '[inputs | select(. != "")]' <<<"$aside"); } || return $FAILED
    jq -n --argjson found "$found" --argjson drill "${drill:-null}" --argjson bundles "${bundles:-[]}" --argjson aside "$aside" \
        '$found + {drill: $drill, bundles: $bundles, aside: $aside}'
}

copies_drill() { # the identity on stdin, WINDMILL_SALT=... too where another than this host's is to be tried
    local rc=0 keys salt
    keys=$(head -c 65536)
    if ! grep -q '^WINDMILL_SALT=' <<<"$keys"; then
        salt=$(value_of "$ROOT/secrets/secrets.env" SECRET_WINDMILL_SALT) || salt=
        [ ! -r "$salt" ] || keys+=$'\nWINDMILL_SALT='$(cat "$salt")
    fi
    printf '%s\n' "$keys" | in_backup drill --json || rc=$?
    keys=
    audit drilled ok "$([ "$rc" = 0 ] && echo yes || echo no)"
    judged "$rc"
}

# --- Off this host: which files there are, any part of them, and their checksums.

copies_files() { # BYTES PATH, a line each; files that are being written have a name with a dot in front
    local folder
    folder=$(backup_folder)
    [ ! -d "$folder" ] || as_owner "$folder" find "$folder" -type f ! -path '*/.*' ! -name '*.part*' -printf '%s backups/%P\n' | sort -k 2
    [ ! -d "$ROOT/bundles" ] || find "$ROOT/bundles" -type f ! -path '*/.*' -printf '%s bundles/%P\n' | sort -k 2
}

place_of() { # place_of PATH, as `files` names it: sets FOLDER and FILE
    [[ $1 =~ $FILE_FORM ]] || die $USAGE "'${1:0:80}' is no file of a backup"
    case $1 in
        backups/*) FOLDER=$(backup_folder) ;;
        *) FOLDER=$ROOT/bundles ;;
    esac
    FILE=$FOLDER/${1#*/}
}

copies_bytes() { # PATH FROM TO, a line each on stdin: those bytes of each, one after the other
    local path from to
    while read -r path from to; do
        [[ $from =~ ^[0-9]{1,15}$ ]] && [[ $to =~ ^[0-9]{1,15}$ ]] && [ "$to" -ge "$from" ] || die $USAGE "say PATH FROM TO, a line each"
        place_of "$path"
        as_owner "$FOLDER" dd if="$FILE" iflag=skip_bytes,count_bytes,fullblock skip="$from" count=$((to - from)) bs=1M status=none ||
            die $FAILED "$path cannot be read"
    done
}

copies_sums() { # PATH, a line each on stdin: SHA256 PATH, a line each
    local path sum
    while read -r path; do
        place_of "$path"
        sum=$(as_owner "$FOLDER" sha256sum <<<'' -- "$FILE") || die $FAILED "$path cannot be read"
        printf '%s %s\n' "${sum%% *}" "$path"
    done
}

copies_take() { # take SHA256 PATH BYTES FROM <bytes: a file that comes back, in one piece or several; there whole or not at all
    local sum=${1:-} path=${2:-} bytes=${3:-} from=${4:-0} part have
    path=${path//:/\/} # a plain word has no slash
    [[ $sum =~ ^[0-9a-f]{64}$ ]] && [[ $bytes =~ ^[0-9]{1,15}$ ]] && [[ $from =~ ^[0-9]{1,15}$ ]] || die $USAGE "say: backup take SHA256 PATH BYTES FROM"
    place_of "$path"
    [ -d "$FOLDER" ] || die $REFUSED "$FOLDER is missing: this host was not made ready. Run: wmctl host bootstrap."
    if [ -e "$FILE" ]; then
        have=$(as_owner "$FOLDER" sha256sum -- "$FILE")
        [ "${have%% *}" = "$sum" ] || die $REFUSED "$path is on this host with other content; it stays"
        say "$path is here already, and the same"
        return
    fi
    [ "$(df --output=avail -B1 "$FOLDER" | tail -n 1)" -gt $((bytes - from + 1073741824)) ] ||
        die $REFUSED "$FOLDER has no room for $path and a gigabyte more"
    part=$(dirname "$FILE")/.incoming-$(basename "$FILE")
    as_owner "$FOLDER" mkdir -p "$(dirname "$FILE")"
    # shellcheck disable=SC2016 # the shell of the folder's owner fills them in
    as_owner "$FOLDER" sh -c 'umask 077; truncate -s "$2" "$1" && cat >>"$1"' take "$part" "$from" ||
        die $FAILED "$path cannot be written"
    have=$(as_owner "$FOLDER" stat -c %s "$part")
    if [ "$have" -lt "$bytes" ]; then
        say "$path: $have of $bytes bytes"
        return
    fi
    have=$(as_owner "$FOLDER" sha256sum -- "$part")
    if [ "${have%% *}" != "$sum" ]; then
        as_owner "$FOLDER" rm -f "$part"
        die $FAILED "$path arrived damaged. Send it again."
    fi
    as_owner "$FOLDER" sync "$part"
    as_owner "$FOLDER" mv "$part" "$FILE"
    say "$path is in place"
}
