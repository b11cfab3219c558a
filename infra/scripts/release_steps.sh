#!/usr/bin/env bash
# The steps of the release and deploy workflows, one verb each: infra/scripts/release_steps.sh VERB. The make targets
# release-VERB call it, so that a step can be run at a desk. Values come by the environment, and none is printed.
#
#   login     enter the registry: ACTOR, TOKEN
#   images    build every image once that is not as in the release before, and push it; writes images.txt: TAG, OWNER, GH_TOKEN
#   scan      stop when what was pushed has a known hole that can be mended
#   files     put together what is shipped, in dist/: TAG
#   publish   prove dist/ and make the release of the tag: TAG, GH_TOKEN
#   fetch     download a release into release/ and prove that it is of this commit: TAG, GH_TOKEN
#   deploy    send it to the host: TAG, DEPLOY_HOST, KNOWN_HOSTS, KEY; DRY_RUN=--dry-run only tells
#
# Exit codes: 64 usage or a variable that is missing; else what the program behind it said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

need() { # need NAME...
    local name
    for name in "$@"; do
        if [[ -z "${!name:-}" ]]; then
            echo "release: the variable $name is missing or empty; .github/settings.toml says what the workflows need" >&2
            exit 64
        fi
    done
    if [[ ! "${TAG:-v0.0.0}" =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
        echo "release: TAG is like v1.4.0" >&2
        exit 64
    fi
}

login() {
    need ACTOR TOKEN
    printf '%s' "$TOKEN" | docker login ghcr.io --username "$ACTOR" --password-stdin
}

images() {
    need TAG OWNER GH_TOKEN
    gh release download --pattern release.json --dir before --clobber ||
        echo 'release: there is no release before this one, or it cannot be read: every image is made anew' >&2
    docker buildx create --name release --driver docker-container --use # the one that can say what it built from
    PUSH=1 BEFORE=before/release.json bash infra/scripts/build_images.sh "${TAG#v}" "ghcr.io/${OWNER,,}/" >images.txt
    cat images.txt
}

scan() {
    sh .ci/install-go-tool grype
    xargs bash .ci/scan-images <images.txt
}

files() {
    need TAG
    mkdir dist
    bash infra/scripts/make_release.sh "$TAG" images.txt dist
}

publish() {
    need TAG GH_TOKEN
    cd dist
    sha256sum --check --strict --quiet SHA256SUMS
    # As a draft first: a release is seen with all its files or not at all.
    gh release create "$TAG" --draft --verify-tag --title "$TAG" --notes-file notes.md ./*
    gh release edit "$TAG" --draft=false
}

fetch() {
    need TAG GH_TOKEN
    local bundle="platform-${TAG#v}.tar.gz"
    gh release download "$TAG" --dir release --pattern "$bundle" --pattern release.json --pattern SHA256SUMS
    (cd release && sha256sum --check --strict --quiet --ignore-missing SHA256SUMS)
    tar -xzOf "release/$bundle" ./release.json | cmp - release/release.json
    if [[ "$(jq -r .commit release/release.json)" != "$(git rev-parse HEAD)" ]]; then
        echo "release: $TAG was built from another commit than it stands on; somebody moved the tag" >&2
        exit 1
    fi
}

deploy() {
    need TAG DEPLOY_HOST KNOWN_HOSTS KEY
    umask 077
    private="$(mktemp -d)"
    trap 'rm -rf "$private"' EXIT
    printf '%s\n' "$KEY" >"$private/key"
    printf '%s\n' "$KNOWN_HOSTS" >"$private/known_hosts"
    unset KEY
    DEPLOY_IDENTITY="$private/key" DEPLOY_KNOWN_HOSTS="$private/known_hosts" \
        infra/scripts/deploy_vps.sh deploy "release/platform-${TAG#v}.tar.gz" ${DRY_RUN:+"$DRY_RUN"}
}

case "${1:-}" in
    login | images | scan | files | publish | fetch | deploy) "$1" ;;
    *)
        echo "usage: ${0##*/} login|images|scan|files|publish|fetch|deploy" >&2
        exit 64
        ;;
esac
