
# --- Forgetting old releases.

prune() { # prune N: the newest N releases stay, and always what serves, what served before, and their images
    local keep=$1 version image
    local -a kept=("$(deployed version)" "$(deployed previous)")
    while read -r version; do
        [ "${#kept[@]}" -lt $((keep + 2)) ] || break
        kept+=("$version")
    done < <(find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%T@ %f\n' | sort -rn | cut -d' ' -f2 |
        grep -Fxv -e "${kept[0]:-none}" -e "${kept[1]:-none}" | head -n $((keep > 2 ? keep - 2 : 0)))
    while read -r version; do
        printf '%s\n' "${kept[@]}" | grep -Fqx "$version" || forget_release "$version" "${kept[@]}"
    done < <(find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' -printf '%f\n')
    find "$RELEASES" -mindepth 1 -maxdepth 1 -type d -name '.incoming-*' -mmin +60 -exec rm -rf {} +
    find "$RUNS" -type f -mtime +90 -delete 2>/dev/null || true
}

forget_release() { # forget_release VERSION KEPT...
    local version=$1 image one used=
    shift
    while read -r image; do
        used=
        for one in "$@"; do
            [ ! -f "$RELEASES/$one/release.json" ] || ! images_of "$RELEASES/$one" | grep -Fqx "$image" || used=yes
        done
        [ -n "$used" ] || docker image rm "$image" >/dev/null 2>&1 || true
    done < <(images_of "$RELEASES/$version" 2>/dev/null || true)
    rm -rf "${RELEASES:?}/$version"
    say "prune: $version is gone"
    audit pruned version "$version"
}

command_prune() {
    local keep=5
    [ "${1:-}" != --keep ] || keep=${2:-}
    [[ $keep =~ ^[0-9]+$ ]] && [ "$keep" -ge 2 ] || die $USAGE "prune keeps at least 2 releases: this one and the one to go back to"
    take_lock prune
    prune "$keep"
}
