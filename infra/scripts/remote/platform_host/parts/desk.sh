
# --- What an administrator's desk needs of this host: a way to the database, and a place for the door's files.

command_entry() { # where the database is inside, whom to trust for it, its administrator's password: JSON for a tunnel
    [ "${1:-}" != --by ] || BY=${2:-unknown}
    local container password
    container=$(container_of postgres)
    [ -n "$container" ] || die $REFUSED "no database runs here: deploy a release first"
    password=$(value_of "$ROOT/secrets/secrets.env" SECRET_DATABASE_SUPERUSER_PASSWORD)
    [ -s "$password" ] ||
        die $REFUSED "the database's administrator has no password. Run: wmctl secret rotate database-superuser"
    audit entered
    jq -cn --arg address "$(address_of "$container")" --rawfile password "$password" \
        --rawfile authority "$(value_of "$ROOT/secrets/secrets.env" SECRET_DATABASE_CA)" \
        '{address: $address, authority: $authority, password: $password}'
}

command_door() { # door CUSTOMER [--remove] [--by NAME] <content: its file at the door, the old one or the new, never a part
    [[ ${1:-} =~ ^[a-z][a-z0-9_]{0,59}$ ]] || die $USAGE "say: door CUSTOMER, with its file on stdin, or door CUSTOMER --remove"
    local customer=$1 folder content remove=
    [ "${2:-}" != --remove ] || { remove=yes && shift; }
    [ "${2:-}" != --by ] || BY=${3:-unknown}
    folder=$(setting DOOR_DIR "$ROOT/door")
    if [ -n "$remove" ]; then
        as_owner "$folder" rm -f "$folder/$customer.json" || die $FAILED "the file of $customer could not be removed from $folder"
        audit door_removed customer "$customer"
        say "the door knows $customer no more"
        return
    fi
    content=$(head -c 65536)
    jq -e --arg name "$customer" '.customer == $name and (.endpoints | length) > 0' <<<"$content" >/dev/null 2>&1 ||
        die $REFUSED "that is no file of $customer for the door; nothing was changed"
    # As the folder's owner: a link that the door planted there leads nowhere. The door reads a file whose name is new.
    # shellcheck disable=SC2016 # the shell inside reads its own words
    as_owner "$folder" sh -euc 'umask 077; new=$(mktemp "$1/.new.XXXXXX"); cat >"$new"; sync "$new"; mv -f "$new" "$1/$2.json"' \
        - "$folder" "$customer" <<<"$content" || die $FAILED "the file of $customer could not be written to $folder"
    audit door customer "$customer"
    say "the door knows $customer"
}
