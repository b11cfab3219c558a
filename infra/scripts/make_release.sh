#!/usr/bin/env bash
# Put together what a release ships, in an empty FOLDER: infra/scripts/make_release.sh TAG IMAGES FOLDER
#
#   platform-VERSION.tar.gz   the bundle a host is deployed from, with release.json inside
#   release.json              version, commit, digests of images, schema, interpreter
#   *.whl                     the packages
#   sbom-IMAGE.json, provenance-IMAGE.json   as they hang on the pushed images
#   notes.md                  the changelog's section
#   SHA256SUMS                of all of them
#
# IMAGES is what `PUSH=1 build_images.sh` printed: one NAME@sha256:… a line. The images are pulled, to know what room
# they need. Exit codes: 0 done; 64 usage; else what the tool behind it said, and FOLDER is not complete.
set -euo pipefail

tag="${1:-}" images="${2:-}" folder="${3:-}"
if [[ ! "$tag" =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ || ! -s "$images" || ! -d "$folder" ]]; then
    echo "usage: ${0##*/} TAG IMAGES FOLDER   TAG is like v1.4.0" >&2
    exit 64
fi
if [[ -n "$(ls -A "$folder")" ]]; then
    echo "$folder is not empty: what lies in it would be shipped" >&2
    exit 64
fi

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
images="$(realpath "$images")" folder="$(realpath "$folder")"
cd "$here"
releases() { .venv/bin/python -m platform_cli.releases "$@"; }

bytes=0
while read -r image; do
    name="${image##*/}" name="${name%%@*}"
    docker pull --quiet "$image" >&2
    bytes=$((bytes + $(docker image inspect --format '{{.Size}}' "$image")))
    docker buildx imagetools inspect "$image" --format '{{json .SBOM}}' >"$folder/sbom-$name.json"
    docker buildx imagetools inspect "$image" --format '{{json .Provenance}}' >"$folder/provenance-$name.json"
done <"$images"

releases manifest "$tag" --image-mb "$((bytes / 1000000 + 1))" <"$images" >"$folder/release.json"
releases notes "$tag" >"$folder/notes.md"
infra/scripts/make_bundle.sh "$folder/release.json" "$folder" >&2
.tools/bin/uv build --quiet --wheel --all-packages --out-dir "$folder"
rm -f "$folder/.gitignore" # uv writes one into every folder it builds into
sums="$(cd "$folder" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum)"
printf '%s\n' "$sums" >"$folder/SHA256SUMS"
