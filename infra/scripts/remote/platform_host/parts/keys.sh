
# --- Keys that may deploy: root lets one in or shuts one out. What a key opens is the same for all: see `gate`.

keys_file() { setting DEPLOY_KEYS_FILE /etc/ssh/platform-deploy-keys; }

command_keys() { # public keys on stdin, so that none is a word of a command
    local file key blob
    file=$(keys_file)
    [ -s "$file" ] || die $REFUSED "$file is missing: this host was not made ready. Run: wmctl host bootstrap."
    if [ "${1:-}" = list ]; then
        ssh_keys_of "$file" | ssh-keygen -l -f -
        return
    fi
    [[ ${1:-} =~ ^(add|remove)$ ]] || die $USAGE "say: keys list, keys add or keys remove, with the public key on stdin"
    key=$(head -c 8192 | grep -Ev '^[[:space:]]*(#|$)' | head -n 1) || true
    ssh-keygen -l -f - <<<"$key" >/dev/null 2>&1 || die $REFUSED "that is no public key; nothing was changed"
    blob=$(awk '{print $2}' <<<"$key")
    take_lock keys "$1"
    "keys_$1" "$file" "$key" "$blob"
}

ssh_keys_of() { sed -n 's/^.*"[[:space:]]\{1,\}\([a-z0-9-]\{1,\} [A-Za-z0-9+/=]\{1,\}.*\)$/\1/p' "$1"; } # without what each is forced to

keys_add() { # keys_add FILE KEY BLOB: forced to the same program as those that are there
    local forced
    if grep -qF " $3" "$1"; then
        say "keys: it is let in already"
        return
    fi
    forced=$(head -n 1 "$1" | sed -n 's/^\(.*"\)[[:space:]]\{1,\}[a-z0-9-]\{1,\} [A-Za-z0-9+/=]\{1,\}.*$/\1/p')
    [[ $forced == restrict,command=* ]] || die $REFUSED "$1 is not as bootstrap wrote it; nothing was changed. Run: wmctl host bootstrap."
    { cat "$1" && printf '%s %s\n' "$forced" "$2"; } | write_whole "$1" || die $FAILED "$1 cannot be written; it is as it was"
    audit key_added key "$(ssh-keygen -l -f - <<<"$2" | awk '{print $2}')"
    say "keys: let in"
}

keys_remove() { # keys_remove FILE KEY BLOB: but never the last
    if ! grep -qF " $3" "$1"; then
        say "keys: it is not let in"
        return
    fi
    [ "$(ssh_keys_of "$1" | wc -l)" -gt 1 ] || die $REFUSED "it is the last one: nobody could deploy any more. Nothing was changed."
    { grep -vF " $3" "$1" || true; } | write_whole "$1" || die $FAILED "$1 cannot be written; it is as it was"
    audit key_removed key "$(ssh-keygen -l -f - <<<"$2" | awk '{print $2}')"
    say "keys: shut out"
}
