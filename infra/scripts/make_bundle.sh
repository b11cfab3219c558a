#!/bin/bash
# Put a release's files into one bundle that a host can be sent: platform-VERSION.tar.gz in FOLDER.
#
#   make_bundle.sh RELEASE_JSON FOLDER [INFRA]
#
# RELEASE_JSON says version, commit, windmill_version, schema_head and, under "images", each image by digest.
# INFRA is the folder with compose/ and caddy/; default: the one beside this script. The same input
# gives the same bytes. Exit codes: 0 done; 64 usage; 70 something is missing, nothing was written.
set -Eeuo pipefail
export LC_ALL=C
umask 022

die() {
    printf 'make_bundle: %s\n' "$2" >&2
    exit "$1"
}

readonly MANIFEST=${1:-} FOLDER=${2:-}
HERE=$(cd "$(dirname "$0")" && pwd)
INFRA=${3:-$HERE/..}

[ -f "$MANIFEST" ] && [ -d "$FOLDER" ] || die 64 "say: make_bundle.sh RELEASE_JSON FOLDER [INFRA]"
VERSION=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' "$MANIFEST" | head -n 1)
[[ $VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]] || die 70 "$MANIFEST has no version such as 1.4.2"
[ -f "$INFRA/compose/compose.prod.yml" ] || die 70 "there is no $INFRA/compose/compose.prod.yml"
! grep -Eo '"[a-z]+[^"]*/[^"]*[:@][^"]*"' "$MANIFEST" | grep -Evq '@sha256:[0-9a-f]{64}"$' ||
    die 70 "$MANIFEST names an image without its digest"

STAGING=$(mktemp -d)
trap 'rm -rf "$STAGING"' EXIT
cp "$INFRA"/compose/* "$STAGING/" # what compose.prod.yml names stands beside it
rm -f "$STAGING/example.env"      # made-up values for a look at a desk; a host has its own
cp "$MANIFEST" "$STAGING/release.json"
"$HERE/host_program.sh" >"$STAGING/platform_host.sh"
cp "$HERE/remote/host_secrets.sh" "$STAGING/"
chmod 0755 "$STAGING/platform_host.sh" "$STAGING/host_secrets.sh"
[ ! -d "$INFRA/caddy" ] || cp -R "$INFRA/caddy" "$STAGING/caddy"
(cd "$STAGING" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS)
sed -i '/SHA256SUMS/d' "$STAGING/SHA256SUMS"
chmod -R u=rwX,go=rX "$STAGING"
tar -C "$STAGING" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -cf - . | gzip -n9 >"$FOLDER/platform-$VERSION.tar.gz"
printf '%s\n' "$FOLDER/platform-$VERSION.tar.gz"
