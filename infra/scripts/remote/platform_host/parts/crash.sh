
# --- What a crash left half done: back before the switch, forward after it.

end_crash() { # a deploy that began and did not end: past the switch forward, before it back
    end_restore
    [ -f "$STATE/deploying.json" ] || return 0
    local phase version VERB # its own: the command that comes after is not what was cut
    phase=$(marked phase) version=$(marked version) VERB=$(marked verb)
    say "resume: $VERB of $version by $(marked by) stopped in $phase ($(marked at))"
    prepare "$version" "$RELEASES/$version"
    NEW_COLOR=$(marked color) OLD=$(marked from) OLD_COLOR=$(marked old_color) PHASE=$phase
    NEW_ENV=$(mktemp "${TMPDIR:-/tmp}/platform-env.XXXXXX")
    environment_of "$NEW_DIR" >"$NEW_ENV"
    NEW_IMAGE=$(jq -r '.images["platform-windmill"]' "$NEW_DIR/release.json")
    SERVICES=$(compose --profile '*' config --services)
    if [ "$phase" = switch ]; then
        [ "$(deployed run)" = "$(marked run)" ] || finish_forward
        write_copies || end_unwritten
        rm -f "$STATE/deploying.json"
        say "resume: $version serves"
    else
        WHY="the host or the program stopped in $phase"
        end_quietly
    fi
    forget_scratch
}

finish_forward() {
    wait_for_server "server_$NEW_COLOR" "$NEW_IMAGE" "$NEW_DIR" 0 || end_badly
    begin_switch || end_unwritten # under this run's name
    finish
}

end_quietly() {
    audit failed version "$NEW" phase "$PHASE" reason "$WHY"
    if ! put_back; then
        audit broken version "$NEW" to "$OLD" reason "$WHY"
        say "resume: the way back failed: $WHY. Wake somebody; see docs/guides/rollback.md."
        exit $BROKEN
    fi
    audit rolled_back version "$NEW" to "${OLD:-nothing}" reason "stopped in $PHASE"
    rm -f "$STATE/deploying.json"
    say "resume: ${OLD:-nothing} serves, as before"
}

command_resume() {
    [ "${1:-}" != --by ] || BY=${2:-unknown}
    VERB=resume
    take_lock resume
    if [ ! -f "$STATE/deploying.json" ] && [ ! -f "$STATE/restoring.json" ]; then
        say "resume: nothing was left half done"
    else
        end_crash
    fi
    [ -z "$(rotating kind)" ] || say "resume: the rotation of $(rotating kind) is half done, and what serves is well; say it again: rotate $(rotating kind)"
}
