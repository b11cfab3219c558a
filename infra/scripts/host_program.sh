#!/bin/bash
# Put the host's program together: one file on stdout, from the parts in remote/platform_host/.
#
#   host_program.sh >platform_host.sh
#
# The host gets one file, so that it can be replaced by one rename and never by half: head.sh (what it is and
# takes), every file of parts/ in the order of its name, main.sh (what may be said). The same parts give the
# same bytes. `wmctl host bootstrap` puts them together in the same order by itself; a test compares the two.
set -Eeuo pipefail
export LC_ALL=C

cd "$(dirname "$0")/remote/platform_host"
cat head.sh parts/*.sh main.sh
