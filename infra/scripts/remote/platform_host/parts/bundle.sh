
# --- Releases as they arrive.

unpack() { # unpack VERSION SHA256 FOLDER <bundle: nothing outside FOLDER, no links, the very bytes that were sent
    local file=$3.tar.gz
    head -c 268435456 >"$file"
    [ "$(sha256sum "$file" | cut -d' ' -f1)" = "$2" ] || { rm -f "$file" && die $REFUSED "the bundle arrived damaged. Send it again."; }
    if tar -tzvf "$file" | awk '$1 !~ /^[-d]/ || $6 ~ /^\/|(^|\/)\.\.(\/|$)/ {bad = 1} END {exit !bad}'; then
        rm -f "$file"
        die $REFUSED "the bundle holds links or paths that lead out of it"
    fi
    mkdir -p "$3"
    tar -xzf "$file" -C "$3" --no-same-owner --no-same-permissions
    rm -f "$file"
    chmod -R u=rwX,go=rX "$3"
    [ "$(of_release "$3" version)" = "$1" ] || { rm -rf "$3" && die $REFUSED "the bundle is not release $1"; }
}

stage() { # stage PARENT: STAGING, a folder that is gone when the program ends, however it does
    STAGING=$(mktemp -d "$1")
    trap 'rm -rf "$STAGING"' EXIT
}

command_receive() {
    require_version "${1:-}"
    [[ ${2:-} =~ ^[0-9a-f]{64}$ ]] || die $USAGE "say: receive VERSION SHA256"
    mkdir -p "$RELEASES"
    stage "$RELEASES/.incoming-XXXXXX"
    unpack "$1" "$2" "$STAGING/release"
    # Of two that arrive at once the second finds the first there, and does not move itself into it.
    if [ ! -d "$RELEASES/$1" ] && mv -T "$STAGING/release" "$RELEASES/$1" 2>/dev/null; then
        say "release $1 is in place"
        return
    fi
    [ -d "$RELEASES/$1" ] || die $FAILED "release $1 cannot be put into $RELEASES"
    cmp -s "$STAGING/release/SHA256SUMS" "$RELEASES/$1/SHA256SUMS" ||
        die $REFUSED "release $1 is on this host with other content. A release never changes: give it another number."
    say "release $1 is here already, and the same"
}

command_try() {
    require_version "${1:-}"
    [[ ${2:-} =~ ^[0-9a-f]{64}$ ]] || die $USAGE "say: try VERSION SHA256"
    stage "${TMPDIR:-/tmp}/platform-try.XXXXXX"
    unpack "$1" "$2" "$STAGING/release"
    bash "$PROGRAM" --root "$ROOT" deploy "$1" --dry-run --dir "$STAGING/release" "${@:3}"
}
