
# --- To the release before, or to a named one.

command_rollback() {
    local to='' despite=
    while [ $# -gt 0 ]; do
        case $1 in
            --to) to=${2:-} && shift ;;
            --despite-schema) despite=yes ;;
            --dry-run) DRY=yes ;;
            --by) BY=${2:-unknown} && shift ;;
            *) die $USAGE "rollback knows no '$1'" ;;
        esac
        shift
    done
    VERB=rollback
    if [ -z "$DRY" ]; then
        take_lock rollback "${to:-the previous release}"
        end_crash
    fi
    to=${to:-$(deployed previous)}
    [ -n "$to" ] || die $REFUSED "there is no previous release to go back to. On this host are: $(releases_here)."
    require_version "$to"
    prepare "$to" "$RELEASES/$to"
    [ -f "$NEW_DIR/release.json" ] || die $REFUSED "release $to is not on this host any more. On it are: $(releases_here)."
    [ -n "$despite" ] || require_schema
    carry_out ''
}

require_schema() { # an older program on a newer schema only where the newer release says that it may
    local now_head then_head floor
    now_head=$(of_release "$RELEASES/$OLD" schema_head) then_head=$(of_release "$NEW_DIR" schema_head)
    floor=$(of_release "$RELEASES/$OLD" schema_floor)
    [ "$now_head" != "$then_head" ] || return 0
    [ -z "$floor" ] || ! at_least "$then_head" "$floor" || return 0
    say "refused: $OLD moved the schema from $then_head to $now_head, and does not say that $NEW can work with it."
    say "  1. Restore the backup made before that deploy$(backup_note): docs/guides/restore.md."
    say "  2. Deploy a corrected release on the new schema."
    say "  3. If you know that nothing was dropped or renamed: rollback --despite-schema."
    audit refused version "$NEW" reason "schema $now_head is not one that it knows"
    exit $REFUSED
}
