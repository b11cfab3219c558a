#!/bin/bash
# Deploy a release to a host over SSH, go back, or look. It copies, starts and follows; the work is done by
# platform_host.sh (remote/platform_host/), detached on the host, so a cut connection stops nothing.
#
#   deploy_vps.sh [OPTION...] deploy BUNDLE [--dry-run] [--no-backup]
#   deploy_vps.sh [OPTION...] rollback [VERSION] [--dry-run] [--despite-schema]
#   deploy_vps.sh [OPTION...] resume | status [--json] | preflight | logs SERVICE [LINES] | prune [N]
#   deploy_vps.sh [OPTION...] follow RUN
#
#   --host USER@NAME      or DEPLOY_HOST; the account that `wmctl host bootstrap` made: platform-deploy
#   --port N              or DEPLOY_PORT; 22
#   --identity FILE       or DEPLOY_IDENTITY; the private key that may deploy
#   --known-hosts FILE    or DEPLOY_KNOWN_HOSTS; the host's key, pinned: nothing is ever learnt from the network
#   --by NAME             or DEPLOY_BY; who is named in the host's audit; default: your login
#
# BUNDLE is platform-VERSION.tar.gz of a release. Exit codes: 0 done; 1 failed, and what served before serves;
# 64 usage; 70 refused before anything was changed; 75 another deploy is running; 80 failed and so did the way
# back, or nobody knows how it ended: look at once.
set -Eeuo pipefail
export LC_ALL=C

readonly FAILED=1 USAGE=64 REFUSED=70 UNKNOWN=80
readonly SSH_FAILED=255 RECONNECTS=${DEPLOY_RECONNECTS:-30}
# What ssh says when it did not get in. Whatever else it ends with may be a connection that was cut later.
readonly NOT_ENTERED='^ssh: |Host key verification failed|IDENTIFICATION HAS CHANGED|Permission denied \(|kex_exchange_identification|banner exchange'

HOST=${DEPLOY_HOST:-} PORT=${DEPLOY_PORT:-22} IDENTITY=${DEPLOY_IDENTITY:-} KNOWN=${DEPLOY_KNOWN_HOSTS:-}
BY=${DEPLOY_BY:-$(id -un)}

die() { # die CODE TEXT
    printf 'deploy_vps: %s\n' "$2" >&2
    exit "$1"
}

remote() { # remote WORD...: plain words, joined by spaces; the host checks each again
    local word
    for word in "$@"; do
        [[ $word =~ ^(--)?[A-Za-z0-9][A-Za-z0-9._:@+-]*$ ]] || die $USAGE "'$word' is not a plain word"
    done
    ssh -T -p "$PORT" -i "$IDENTITY" \
        -o BatchMode=yes -o IdentitiesOnly=yes -o ConnectTimeout=10 \
        -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$KNOWN" -o GlobalKnownHostsFile=/dev/null \
        -o UpdateHostKeys=no -o ServerAliveInterval=5 -o ServerAliveCountMax=3 \
        -- "$HOST" "$*"
}

reached() { # reached WORD...: as `remote`, with words for a host that cannot be entered and for a connection that was cut
    local said code
    said=$(mktemp)
    set +e
    { remote "$@" 2>&1 1>&3 3>&- | tee "$said" >&2; code=${PIPESTATUS[0]}; } 3>&1
    set -e
    [ "$code" != "$SSH_FAILED" ] || lost "$1" "$said"
    rm -f "$said"
    return "$code"
}

lost() { # lost WORD FILE: ends with what is known of it, by what ssh said
    local entered=yes
    ! grep -Eq "$NOT_ENTERED" "$2" || entered=
    rm -f "$2"
    [ -n "$entered" ] ||
        die $REFUSED "$HOST cannot be entered (see above); nothing was changed. If its key changed, somebody may stand between: compare fingerprints on the host's console before you pin the new one."
    [ "$1" != start ] ||
        die $UNKNOWN "the connection to $HOST was cut while the run was begun: whether it began is not known. Look: deploy_vps.sh status names the run; then: deploy_vps.sh follow RUN"
    die $FAILED "the connection to $HOST was cut (see above); what serves was not touched. Say it again."
}

follow() { # follow RUN: its log as it grows, over as many connections as it takes; ends as the run ends
    local run=$1 code lost=0
    LOG=$(mktemp)
    trap 'rm -f "$LOG"' EXIT
    while :; do
        set +e
        remote follow "$run" "$(($(wc -c <"$LOG") + 1))" </dev/null | tee -a "$LOG"
        code=${PIPESTATUS[0]}
        set -e
        [ "$code" = "$SSH_FAILED" ] || return "$code"
        lost=$((lost + 1))
        [ "$lost" -le "$RECONNECTS" ] || die $UNKNOWN "the connection is lost, and the run goes on at the host. Look: deploy_vps.sh follow $run"
        printf 'deploy_vps: the connection is lost; the run goes on at the host. Connecting again (%s).\n' "$lost" >&2
        sleep 2
    done
}

start() { # start WORD...: begin a run on the host and follow it
    local run
    run=$(reached start "$@" --by "$BY" </dev/null)
    follow "$run"
}

version_of() { # version_of BUNDLE
    tar -xzOf "$1" ./release.json 2>/dev/null | sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' | head -n 1 || true # no archive, no version
}

deploy() {
    local bundle=${1:-} version digest dry=''
    local -a words=()
    [ -f "$bundle" ] || die $USAGE "there is no bundle '$bundle'. A release has one: platform-VERSION.tar.gz."
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --dry-run) dry=yes ;;
            --no-backup) words+=(--no-backup) ;;
            *) die $USAGE "deploy knows no '$1'" ;;
        esac
        shift
    done
    version=$(version_of "$bundle")
    [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]] || die $USAGE "$bundle is not the bundle of a release: it has no release.json with a version"
    digest=$(sha256sum "$bundle" | cut -d' ' -f1)
    if [ -n "$dry" ]; then
        reached try "$version" "$digest" --now "$(date +%s)" <"$bundle"
        return
    fi
    reached receive "$version" "$digest" <"$bundle"
    start deploy "$version" --now "$(date +%s)" "${words[@]}"
}

rollback() {
    local -a words=()
    local dry=''
    while [ $# -gt 0 ]; do
        case $1 in
            --dry-run) dry=yes ;;
            --despite-schema) words+=(--despite-schema) ;;
            [0-9]*) words+=(--to "$1") ;;
            *) die $USAGE "rollback knows no '$1'" ;;
        esac
        shift
    done
    if [ -n "$dry" ]; then
        reached rollback --dry-run "${words[@]}" </dev/null
    else
        start rollback "${words[@]}"
    fi
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in --host | --port | --identity | --known-hosts | --by) [ $# -ge 2 ] || die $USAGE "$1 wants a value (--help tells more)" ;; esac
        case $1 in
            --host) HOST=${2:-} && shift 2 ;;
            --port) PORT=${2:-} && shift 2 ;;
            --identity) IDENTITY=${2:-} && shift 2 ;;
            --known-hosts) KNOWN=${2:-} && shift 2 ;;
            --by) BY=${2:-} && shift 2 ;;
            --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 0 ;;
            *) break ;;
        esac
    done
    local verb=${1:-}
    [ -n "$verb" ] || die $USAGE "say what to do: deploy, rollback, resume, status, preflight, logs, prune or follow (--help tells more)"
    [[ $HOST =~ ^[A-Za-z0-9._-]+@[A-Za-z0-9.:-]+$ ]] || die $USAGE "say where: --host platform-deploy@vps.example.org"
    [[ $PORT =~ ^[0-9]{1,5}$ ]] || die $USAGE "--port is a number"
    [ -f "$IDENTITY" ] || die $USAGE "say with which key: --identity FILE"
    [ -s "$KNOWN" ] || die $USAGE "say which host key is the right one: --known-hosts FILE, as the host's console shows it"
    BY=$(tr -c 'A-Za-z0-9._@+\n-' _ <<<"$BY" | sed 's/^[^A-Za-z0-9]*//')
    shift
    case $verb in
        deploy | rollback) "$verb" "$@" ;;
        resume) start resume ;;
        status | logs) reached "$verb" "$@" </dev/null ;;
        preflight) reached preflight --now "$(date +%s)" "$@" </dev/null ;;
        prune) reached prune --keep "${1:-5}" </dev/null ;;
        follow) follow "${1:-}" ;;
        *) die $USAGE "there is no verb '$verb'" ;;
    esac
}

main "$@"
