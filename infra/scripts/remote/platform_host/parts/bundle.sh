
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

command_receive() {
    require_version "${1:-}"
    [[ ${2:-} =~ ^[0-9a-f]{64}$ ]] || die $USAGE "say: receive VERSION SHA256"
    local staging
    mkdir -p "$RELEASES"
    staging=$(mktemp -d "$RELEASES/.incoming-XXXXXX")
    unpack "$1" "$2" "$staging/release"
    if [ -d "$RELEASES/$1" ]; then
        cmp -s "$staging/release/SHA256SUMS" "$RELEASES/$1/SHA256SUMS" ||
            { rm -rf "$staging" && die $REFUSED "release $1 is on this host with other content. A release never changes: give it another number."; }
        rm -rf "$staging"
        say "release $1 is here already, and the same"
        return
    fi
    mv "$staging/release" "$RELEASES/$1"
    rm -rf "$staging"
    say "release $1 is in place"
}

command_try() {
    require_version "${1:-}"
    [[ ${2:-} =~ ^[0-9a-f]{64}$ ]] || die $USAGE "say: try VERSION SHA256"
    local staging rc=0
    staging=$(mktemp -d "${TMPDIR:-/tmp}/platform-try.XXXXXX")
    unpack "$1" "$2" "$staging/release"
    bash "$PROGRAM" --root "$ROOT" deploy "$1" --dry-run --dir "$staging/release" "${@:3}" || rc=$?
    rm -rf "$staging"
    return "$rc"
}
