
# --- Secrets of this host: are they there and nobody else's to read, and does the database know its logins.

check_secrets() { # those that the compose file names: there, not empty, root's own, and nobody else's to read
    local file mode owner
    while read -r file; do
        [ -n "$file" ] || continue
        if [ ! -s "$file" ]; then
            refuse "the secret $file is missing or empty" "Put it there: docs/guides/secrets.md."
            continue
        fi
        mode=$(stat -c %a "$file") owner=$(stat -c %u "$file")
        case $mode in *0) ;; *) refuse "everybody can read the secret $file (mode $mode)" "Run: chmod 0440 $file, then rotate it." ;; esac
        [ "$owner" = 0 ] || refuse "the secret $file belongs to user $owner" "Run: chown root:10001 $file."
    done < <(jq -r '.secrets // {} | .[] | .file // empty' <<<"$CONFIG")
}

check_login() { # a new password under the login in use would shut out the server that serves
    local new old
    new=$(cat "$(value_of "$NEW_ENV" SECRET_WINDMILL_DATABASE_URL)" 2>/dev/null || true)
    old=$(cat "$(value_of "$ROOT/release.env" SECRET_WINDMILL_DATABASE_URL)" 2>/dev/null || true)
    [ -n "$old" ] && [ "$new" != "$old" ] && [ "$(login_of "$new")" = "$(login_of "$old")" ] || return 0
    refuse "the new database address has the login in use, $(login_of "$new"), with another password or place" \
        "Rotate to another login name; both are good while servers change: docs/guides/secrets.md."
}

login_of() { # login_of URL
    local rest=${1#*://}
    printf '%s' "${rest%%:*}"
}

let_in() { # let_in VERB NAME: the database learns a login from the file that NAME says; again and again the same
    local file
    file=$(value_of "$NEW_ENV" "$2")
    [ -n "$file" ] || return 0
    compose exec -T postgres platform-postgres "$1" <"$file" >/dev/null 2>&1 || { WHY="the database refuses the login of $2" && return 1; }
}

value_of() { sed -n "s/^$2=//p" "$1" 2>/dev/null | tail -n 1; }
