
# --- Copies of the database, as a deploy needs them.

backup() { # before anything is touched; a release without a backup program needs to be told so
    [ -n "$OLD" ] || return 0
    case $VERB in rollback | rotate) return 0 ;; esac
    if [ -n "${NO_BACKUP:-}" ]; then
        say "backup: left out, as asked"
        return 0
    fi
    say "backup: begins"
    if ! compose_old exec -T backup backup now --reason deploy 9>&-; then return 1; fi
    BACKUP_AT=$(stamp)
    say "backup: done"
}

require_backup() { # an installation that has no backup service is never changed by mistake without one
    [ -n "$OLD" ] && [ -z "${NO_BACKUP:-}" ] && [ -z "$DRY" ] || return 0
    [ -n "$(container_of backup)" ] ||
        refuse "$OLD runs no backup service, so there would be no backup before this deploy" "Start it, or say --no-backup if that is meant."
}

backup_note() {
    local at
    at=$(deployed backup_at)
    [ -z "$at" ] || printf ' (%s)' "$at"
}
