#!/usr/bin/env bash
# Build the platform's images from this checkout: infra/scripts/build_images.sh VERSION [REGISTRY/OWNER/]
#
# What they are built on comes from infra/docker/bases.env, each by digest; a variable of the environment of the same
# name wins, so a source-built Windmill or a mirror can stand in. ALLOW_UNPINNED=1 lets a base without a digest pass, for
# a trial on one machine. IMAGES="platform-door ..." builds some of them. Python packages come as wheels that are checked
# against uv.lock by hash before the build begins; inside a build nothing asks a package index.
# PUSH=1 pushes them to REGISTRY/OWNER/ with provenance and a bill of materials (needs a builder of the container driver)
# and prints NAME@DIGEST, one line an image; without it NAME:VERSION ID. BEFORE=FILE is the release.json of the release
# before: an image that is made of the same as there is not made again, so a deploy leaves the database and the proxy
# alone that did not change. Debian's packages are those of the day an image was made; a later day in
# infra/docker/packages_of.txt makes all of them anew. They are for linux/amd64. Exit 64 for usage, 70 for what is missing,
# else what docker said.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
version="${1:-}"
prefix="${2:-}"
if [[ ! "$version" =~ ^[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.-]+)?$ ]]; then
    echo "usage: ${0##*/} VERSION [REGISTRY/OWNER/]   VERSION is like 1.4.0" >&2
    exit 64
fi

base() { # base NAME: the image reference to build on
    local name="$1" value
    value="${!name:-$(sed -n "s/^$name=//p" "$here/infra/docker/bases.env")}"
    if [[ "$value" != *@sha256:* && "${ALLOW_UNPINNED:-0}" != 1 ]]; then
        echo "$name is '$value', which names no digest: docker buildx imagetools inspect '$value' prints it; put it into infra/docker/bases.env" >&2
        exit 70
    fi
    printf '%s' "$value"
}

address() { # address: where the source is for people, as the label says it; empty without such a place, and never a token
    { git -C "$here" remote get-url origin 2>/dev/null || true; } |
        sed -nE 's#^(https://([^/@]*@)?|ssh://git@|git@)([A-Za-z0-9.-]+)(:[0-9]+/|[:/])([^?]+)$#https://\3/\5#p' | sed 's#\.git$##'
}

wheels() { # wheels PYTHON EXTRAS FOLDER: ours and what uv.lock says they need, for that Python
    local python="$1" extra="$2" folder="$3"
    mkdir -p "$folder"
    "$uv" export --quiet --frozen --no-dev --no-emit-workspace --package platform-core --package platform-connectors \
        ${extra:+--extra "$extra"} --output-file "$context/requirements-$python.txt" >/dev/null
    python3 -m pip download --quiet --require-hashes --only-binary :all: --no-deps --python-version "$python" \
        --implementation cp --dest "$folder" --requirement "$context/requirements-$python.txt"
    cp "$context/built/"*.whl "$folder/"
}

inputs() { # inputs FOLDERS WORD...: all that an image is made of, as one number
    local folders="$1"
    shift
    # shellcheck disable=SC2086 # names without spaces
    (cd "$context" && { printf '%s\n' "$@" && find docker/packages_of.txt $folders -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; }) |
        sha256sum | cut -c1-64
}

unchanged() { # unchanged NAME INPUTS: what the release before has of it; fails where that was made of something else
    local image
    [[ -s "${BEFORE:-}" ]] || return 1
    image="$(jq -r --arg name "$1" '.images[$name] // empty' "$BEFORE")"
    [[ "$image" == "$prefix$1@sha256:"* ]] || return 1
    [[ "$(docker buildx imagetools inspect --format '{{json .Image}}' "$image" |
        jq -r '[.. | objects | .Labels? // empty | .["platform.inputs"]? // empty] | first // empty')" == "$2" ]] || return 1
    echo "$image"
}

build() { # build NAME FOLDERS [--build-arg ...]: of these folders of the context
    local name="$1" made_of digest
    made_of="$(inputs "$2 docker/${1#platform-}" "${@:3}")"
    shift 2
    if [[ "${PUSH:-0}" == 1 ]] && unchanged "$name" "$made_of"; then
        echo "$name is as in the release before" >&2
        return
    fi
    set -- --file "$context/docker/${name#platform-}/Dockerfile" --tag "$prefix$name:$version" \
        ${source:+--label "org.opencontainers.image.source=$source"} --label "platform.inputs=$made_of" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "$@" "$context"
    if [[ "${PUSH:-0}" == 1 ]]; then
        docker buildx build --platform linux/amd64 --provenance=mode=max --sbom=true \
            --output type=registry,rewrite-timestamp=true --metadata-file "$context/metadata.json" "$@" >&2
        digest="$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["containerimage.digest"])' "$context/metadata.json")"
        echo "$prefix$name@$digest"
    else
        docker build --quiet "$@" | sed "s|^|$prefix$name:$version |"
    fi
}

wanted="${IMAGES:-$(cat "$here/infra/docker/images.txt")}"
debian="$(base DEBIAN_IMAGE)"
revision="$(git -C "$here" rev-parse HEAD)"
source="$(address)"
SOURCE_DATE_EPOCH="$(git -C "$here" log -1 --format=%ct)"
export SOURCE_DATE_EPOCH DOCKER_BUILDKIT=1
postgres="${prefix}platform-postgres:$version" # the backup's base: made before it
uv="${UV:-$here/.tools/bin/uv}"
context="$(mktemp -d)"
trap 'rm -rf "$context"' EXIT
cp -R "$here/infra/docker" "$here/infra/postgres" "$context/"

if [[ "$wanted" == *platform-windmill* || "$wanted" == *platform-door* || "$wanted" == *platform-backup* ]]; then
    for package in platform-core connectors; do
        "$uv" build --quiet --wheel --out-dir "$context/built" "$here/$package"
    done
fi

for name in $wanted; do
    case "$name" in
        platform-windmill)
            windmill="$(base WINDMILL_BASE_IMAGE)"
            wheels 3.12 '' "$context/wheels-312"
            build "$name" wheels-312 --build-arg "WINDMILL_BASE_IMAGE=$windmill"
            ;;
        platform-door)
            wheels 3.13 ingest "$context/wheels-313"
            build "$name" wheels-313 --build-arg "DEBIAN_IMAGE=$debian"
            ;;
        platform-backup)
            wheels 3.13 backups "$context/wheels-backup"
            build "$name" wheels-backup --build-arg "POSTGRES_IMAGE=$postgres"
            ;;
        platform-postgres)
            said="$(build "$name" postgres --build-arg "DEBIAN_IMAGE=$debian")"
            [[ "${PUSH:-0}" != 1 ]] || postgres="$said" # by digest
            echo "$said"
            ;;
        platform-caddy)
            caddy="$(base CADDY_BASE_IMAGE)"
            build "$name" '' --build-arg "DEBIAN_IMAGE=$debian" --build-arg "CADDY_BASE_IMAGE=$caddy"
            ;;
        *)
            echo "no image is called $name; infra/docker/images.txt lists them" >&2
            exit 64
            ;;
    esac
done
