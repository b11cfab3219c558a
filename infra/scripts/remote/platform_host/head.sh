#!/bin/bash
# The platform's program on its host: it looks, deploys, goes back, resumes, prunes and reports.
#
#   platform_host.sh [--root DIR] COMMAND [WORD...]
#
#   preflight [--release V] [--now EPOCH]   look for what is wrong or would stop a deploy, and change nothing
#   deploy V [--dry-run] [--no-backup] [--now EPOCH] [--by NAME]
#   rollback [--to V] [--despite-schema] [--dry-run] [--by NAME]
#   rotate KIND [--by NAME]                 replace a secret while it is in use; a repeat ends a half one
#   secrets list|check|bundle|take NAME     names and ages, what is wrong, an encrypted bundle on stdout; see host_secrets.sh
#   secrets unbundle                        only as root, identity and bundle on stdin: the secrets of a lost host
#   keys list|add|remove                    only as root: who may deploy, the public key on stdin
#   backup now|list|drill|files|bytes|sums  copies: make, list, try, read for another host; see parts/copies.sh
#   backup take|forget                      only as root: a copy that comes back; delete what restores set aside
#   restore NAME|--to TIME [--customer C]   only as root, the identity on stdin: put data back; --undo takes it back
#   entry                                   only as root: what a tunnel to the database takes, as JSON
#   door CUSTOMER <file                     only as root: the customer's file at the door; --remove in place of the file
#   resume                                  end what a crash left half done: back, or forward past the switch
#   status [--json]                         what serves, and how it is
#   prune [--keep N]                        forget old releases and the images that only they used
#   logs SERVICE [LINES]
#   gate LINE                               the forced command of the deploy key: LINE is what the client said
#   receive V SHA256 <bundle                put a release directory in place, complete or not at all
#   try V SHA256 [--now EPOCH] <bundle      a dry run of a release that is not put in place
#   start deploy|rollback|rotate|restore|resume ...  the same, detached from the connection; prints the run's name
#   follow RUN [BYTE]                       a run's log from that byte on; ends with the run's own exit code
#
# Exit codes: 0 done; 1 failed, and what served before serves; 64 usage; 70 refused before anything was changed;
# 75 another deploy is running; 80 failed, and the way back failed too: wake somebody.
#
# It is written in parts, each of which only defines functions (head.sh, parts/NOUN.sh, main.sh), and put together
# by infra/scripts/host_program.sh. A new command: its line above, its function `command_NAME` in the file of its
# noun, its name in `dispatch`, and in `command_gate` when the deploy key may say it (both in main.sh).
#
# What is true stands in ROOT/state/deployed.json, replaced by one rename. state/current, previous and color are
# copies for people and scripts. Values come in as words and files; none is ever put into a shell's text.
set -Eeuo pipefail
umask 027
export LC_ALL=C

readonly OK=0 FAILED=1 USAGE=64 REFUSED=70 LOCKED=75 BROKEN=80
readonly ENGINE_FLOOR=25.0 COMPOSE_FLOOR=2.24 # what compose.prod.yml needs of both
readonly VERSION_FORM='^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$'
readonly WORD_FORM='^(--)?[A-Za-z0-9][A-Za-z0-9._:@+-]*$'
readonly PROJECT=platform PORT=8000 HTTPS_PORT=443
# What `backup files` names, and what a container of one task is given beside the backup's own.
readonly FILE_FORM='^(backups|bundles)(/[A-Za-z0-9][A-Za-z0-9._-]*){1,4}$'
readonly WITH_DATA=(--volume "${PROJECT}_database:/var/lib/postgresql")
readonly WITH_SOCKET=(--volume "${PROJECT}_socket:/run/postgresql" --env PGHOST=/run/postgresql --env PGUSER=postgres --entrypoint python3)
# In the order they are renewed: the door first, so that nothing of a webhook waits for the workers.
readonly BEHIND=(door worker_webhook worker_default worker_ops backup)

PROGRAM=$(readlink -f "$0")
ROOT=/opt/platform
RUN=${PLATFORM_RUN:-$(date -u +%Y%m%dT%H%M%SZ)-$$-direct} # two that are the same could not be told apart after a crash
BY=unknown
DRY=
GATED=
PROBLEMS=0
VERB=
BEGAN_AT=$(date -u +%Y-%m-%dT%H:%M:%S) # what a container did before is not this run's doing
