#!/bin/bash
# Upgrades to the release of this checkout (or of --wheel FILE), with a way back.
#
#   sudo deploy/upgrade.sh [options of install.sh]     backup, install, start, look; goes back by itself if it does not run
#   sudo deploy/upgrade.sh --back                      the release before, with the readings of now if it can read them
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OPT=/opt/village BEFORE=/var/backups/village/before-upgrade
WAIT_SECONDS=${WAIT_SECONDS:-900}

say() { printf '%s\n' "$*"; }
fail() { printf 'upgrade.sh: %s\n' "$*" >&2; exit 1; }
has_systemd() { [ -d /run/systemd/system ]; }
[ "$(id -u)" -eq 0 ] || fail "run this as root: sudo $0"
[ -e $OPT/current ] || fail "nothing is installed here; deploy/install.sh does that"

gateway() { if has_systemd; then systemctl "$1" village-gateway.service; fi; }

# Whether the gateway runs and says that it is well; "degraded" is well enough: a store may be away.
is_well() {
    if ! has_systemd; then /usr/local/bin/village check > /dev/null; return; fi
    local until=$((SECONDS + WAIT_SECONDS))
    while [ $SECONDS -lt $until ]; do
        # Type=notify: active means that it has opened its journal and answers.
        if systemctl is-active --quiet village-gateway.service; then return 0; fi
        if systemctl is-failed --quiet village-gateway.service; then return 1; fi
        sleep 1
    done
    return 1
}

go_back() {
    local previous
    previous=$(readlink $OPT/previous || true)
    if [ -z "$previous" ] || [ ! -e "$OPT/$previous/complete" ]; then fail "no release before this one is kept"; fi
    gateway stop
    ln -sfn "$(readlink $OPT/current)" $OPT/previous
    ln -sfn "$previous" $OPT/current
    if opens_journal; then
        say "back to $previous, with the readings of now"
    else
        # A journal of the newer release is set aside under a new name: that release can still deliver what it holds.
        /usr/local/bin/village restore "$BEFORE" --replace
        say "back to $previous, with the readings as they were before the upgrade"
    fi
    gateway start
}

# Whether the release in use can read the journal that is there; nothing is changed.
opens_journal() {
    setpriv --reuid=village --regid=village --init-groups "$OPT/current/bin/python" - << 'PYTHON'
import sqlite3
import sys
from gateway.line.journal_file import SCHEMA_VERSION
with sqlite3.connect("file:/var/lib/village/journal.db?mode=ro", uri=True) as journal:
    sys.exit(journal.execute("PRAGMA user_version").fetchone()[0] > SCHEMA_VERSION)
PYTHON
}

if [ "${1:-}" = --back ]; then
    go_back
    is_well || fail "the release before does not run either; see: journalctl -u village-gateway"
    exit 0
fi

old=$(readlink $OPT/current)
install -d -m 0750 -o village -g village "$BEFORE"
if [ -e /var/lib/village/journal.db ]; then
    /usr/local/bin/village backup --to "$BEFORE" --keep 2
fi
status=0
"$HERE/install.sh" "$@" || status=$?
new=$(readlink $OPT/current)
if [ "$new" = "$old" ]; then
    [ $status -eq 0 ] || fail "the new release could not be installed, see above; the one before is in use as ever"
    say "this release was in use already"
elif [ $status -eq 0 ] && is_well; then
    say "upgraded from $old to $new; \`$0 --back\` goes back"
else
    go_back
    fail "the new release did not start, and the one before is in use again; see: journalctl -u village-gateway"
fi
