#!/bin/bash
# Tries the whole life of an installation on a clean Debian 12, booted with its own systemd in a folder: what the script says
# on machines it cannot serve, install, an account, a value in the store, the same again, upgrade with readings that wait,
# back, a broken release, a power cut at rest and one in the middle of an upgrade, no network, the doctor, uninstall.
#
#   sudo deploy/try-install.sh [--store influxdb|embedded] [--from COMMIT] [--folder FOLDER] [--keep]
#
#   --store   as for install.sh
#   --from    the release to upgrade from; default: the newest commit whose program differs from this checkout's
#   --folder  where the machines are made, 3 GB; default: a new one below /tmp. FOLDER/clean is used again if it is there
#   --keep    leave them there, to look around
#
# Needs root, debootstrap, systemd-container and a network. With slirp4netns the machine has a network of its own; without,
# it shares this one's, and nobody may listen on ports 1883, 8883, 8086, 8088 and 8765.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PROGRAM=(gateway devices dashboards simulators pyproject.toml requirements.lock)
MIRROR=${MIRROR:-http://deb.debian.org/debian}
STORE=influxdb FROM='' FOLDER='' KEEP='' NSPAWN='' LEADER='' SLIRP='' PASSED=0

say() { printf '%s\n' "$*"; }
fail() { printf 'try-install.sh: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
    --store) STORE=${2:?--store influxdb or embedded}; shift 2 ;;
    --from) FROM=${2:?--from COMMIT}; shift 2 ;;
    --folder) FOLDER=$(realpath -m "${2:?--folder FOLDER}"); shift 2 ;;
    --keep) KEEP=yes; shift ;;
    *) fail "no option $1; see the head of this file" ;;
    esac
done
[ "$(id -u)" -eq 0 ] || fail "run this as root: sudo $0"
for program in debootstrap systemd-nspawn nsenter git; do
    command -v $program > /dev/null || fail "$program is missing: apt-get install debootstrap systemd-container util-linux git"
done
NETWORK=()
if ! command -v slirp4netns > /dev/null; then
    for port in 1883 8883 8086 8088 8765; do
        if (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then fail "something listens on port $port; stop it first"; fi
    done
fi
FOLDER=${FOLDER:-$(mktemp -d /tmp/village-try.XXXXXX)}
MACHINE=$FOLDER/machine
if [ -z "$FROM" ]; then
    FROM=HEAD
    # Without changes that are not committed, the one before the last that changed the program.
    if git -C "$HERE" diff --quiet HEAD -- "${PROGRAM[@]}"; then
        FROM=$(git -C "$HERE" log -1 --format=%H -- "${PROGRAM[@]}")^
    fi
fi

# machine ---------------------------------------------------------------------------------------------------------

make_machine() {
    if [ ! -e "$FOLDER/clean/etc/debian_version" ]; then
        mkdir -p "$FOLDER"
        say "debootstrap: a clean Debian 12 (some minutes)"
        debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates bookworm "$FOLDER/clean.new" \
            "$MIRROR" > "$FOLDER/debootstrap.log" 2>&1 || fail "debootstrap failed, see $FOLDER/debootstrap.log"
        # It trusts whom this machine trusts: behind an office's proxy nothing can be fetched without.
        cp -r /usr/local/share/ca-certificates/. "$FOLDER/clean.new/usr/local/share/ca-certificates/"
        chroot "$FOLDER/clean.new" update-ca-certificates > /dev/null 2>&1
        mv "$FOLDER/clean.new" "$FOLDER/clean"
    fi
    rm -rf "$MACHINE"
    cp -a --reflink=auto "$FOLDER/clean" "$MACHINE"
    echo village-try > "$MACHINE/etc/hostname"
    printf '127.0.0.1 localhost village-try\n::1 localhost\n' > "$MACHINE/etc/hosts"
    mkdir -p "$MACHINE/srv/before" "$MACHINE/srv/now" "$MACHINE/srv/broken"
    git -C "$HERE" archive "$FROM" | tar -x -C "$MACHINE/srv/before"
    (cd "$HERE" && git ls-files -z | tar -c --null -T - ) | tar -x -C "$MACHINE/srv/now"
    # A release that installs well and does not run, and one that cannot even be loaded.
    cp -a "$MACHINE/srv/now/." "$MACHINE/srv/broken"
    # One that runs, for an upgrade that is cut short.
    cp -a "$MACHINE/srv/now" "$MACHINE/srv/next"
    printf '\n# the next release\n' >> "$MACHINE/srv/next/gateway/app.py"
    printf '\n\ndef _broken(self: App) -> None:\n    raise RuntimeError("a release that does not run")\n\n\nApp.start = _broken\n' \
        >> "$MACHINE/srv/broken/gateway/app.py"
    cp -a "$MACHINE/srv/now" "$MACHINE/srv/unloadable"
    printf '\nraise RuntimeError("a release that cannot be loaded")\n' >> "$MACHINE/srv/unloadable/gateway/cli.py"
}

# A network for the machine that reaches out through this one's, so that ports here may be taken.
make_network() {
    command -v slirp4netns > /dev/null || return 0
    local name=village-try-$$
    ip netns add "$name"
    ip -n "$name" link set lo up
    slirp4netns --configure --mtu=1400 --netns-type=path "/run/netns/$name" tap0 > "$FOLDER/slirp.log" 2>&1 &
    SLIRP=$!
    NETWORK=(--network-namespace-path="/run/netns/$name")
}

# boot [OPTIONS OF systemd-nspawn]: returns when everything that starts by itself has started.
boot() {
    systemd-nspawn -q -D "$MACHINE" --boot --register=no --keep-unit "$@" < /dev/null > "$FOLDER/console.log" 2>&1 &
    NSPAWN=$!
    for _ in $(seq 600); do
        LEADER=$(pgrep -P $NSPAWN -x systemd || true)
        if [ -n "$LEADER" ]; then
            case $(inside systemctl is-system-running 2> /dev/null || true) in running | degraded) return 0 ;; esac
        fi
        kill -0 $NSPAWN 2> /dev/null || break
        sleep 0.2
    done
    fail "the machine does not boot, see $FOLDER/console.log"
}

# inside COMMAND...: run it in the booted machine, as root with a clean environment.
inside() {
    nsenter -t "$LEADER" -m -u -i -n -p -r -w -- /usr/bin/env -i LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# As a power cut does: every process of the machine is gone at once.
cut_power() {
    kill -KILL "$LEADER"
    wait "$NSPAWN" 2> /dev/null || true
    NSPAWN='' LEADER=''
}

power_off() {
    if [ -z "$NSPAWN" ]; then return; fi
    inside systemctl poweroff 2> /dev/null || true
    for _ in $(seq 300); do kill -0 $NSPAWN 2> /dev/null || break; sleep 0.2; done
    kill $NSPAWN 2> /dev/null || true
    wait $NSPAWN 2> /dev/null || true
    NSPAWN='' LEADER=''
}

# shellcheck disable=SC2329 # called by the trap
clean_up() {
    local status=$?
    if [ $status -ne 0 ] && [ -n "$LEADER" ]; then
        inside journalctl -u village-gateway -u mosquitto -u influxdb -n 30 --no-pager >&2 || true
    fi
    power_off
    if [ -n "$SLIRP" ]; then kill "$SLIRP" 2> /dev/null || true; ip netns delete "village-try-$$" || true; fi
    if [ -z "$KEEP" ]; then rm -rf "$MACHINE"; rmdir --ignore-fail-on-non-empty "$FOLDER" 2> /dev/null || true; fi
    [ $status -eq 0 ] || say "NOT well after $PASSED checks"
}
trap clean_up EXIT

# checks ----------------------------------------------------------------------------------------------------------

passed() { PASSED=$((PASSED + 1)); say "ok  $*"; }
# same WHAT EXPECTED FOUND
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', found '$3'"; local first=${2%%$'\n'*}; passed "$1${first:+: ${first:0:100}}"; }
# holds WHAT TEXT WORDS
holds() { case $2 in *"$3"*) passed "$1" ;; *) fail "$1: '$3' is not in: $2" ;; esac; }

# refuses WHAT WORDS OPTIONS-OF-systemd-nspawn... -- COMMAND...: on the machine as it is, not booted.
refuses() {
    local what=$1 words=$2 options=() text
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    if text=$(systemd-nspawn -q -D "$MACHINE" --volatile=overlay --register=no --keep-unit "${options[@]}" "$@" 2>&1); then
        fail "$what: it went through: $text"
    fi
    # nspawn's own last word, where it cannot clear a folder of its own.
    text=$(grep -v '/run/systemd/nspawn/' <<< "$text")
    holds "$what: ${text##*$'\n'}" "$text" "$words"
}

# What an installation consists of: kind, mode, owner and content of every file, without what running services write.
listing() {
    inside bash -c 'cd / && found() { find etc opt/village usr/local var/lib/village var/lib/mosquitto var/backups/village -xdev \
        ! -path "var/lib/village/*" ! -name mosquitto.db ! -path "*/__pycache__*" ! -path etc/mtab "$@"; }
        found -printf "%p %y %m %u:%g %l\n"; found -type f -print0 | xargs -0 sha256sum' | sort
}
main_pids() { inside systemctl show -p MainPID --value "${SERVICES[@]}" | tr -s '\n' ' '; }
ask() { inside python3 -c "import json,urllib.request as u; print(json.load(u.urlopen('http://127.0.0.1:8765$1'))$2)"; }
await() {
    local what=$1
    shift
    for _ in $(seq 150); do if "$@" > /dev/null 2>&1; then passed "$what"; return 0; fi; sleep 0.2; done
    fail "waited 30 s in vain: $what"
}
# publish DEVICE TOPIC PAYLOAD: over TLS, with the account of the sheet.
publish() {
    local password
    password=$(inside python3 -c "import csv; print(next(r['password'] for r in csv.DictReader(open('/srv/sheet.csv', encoding='utf-8-sig')) if r['device'] == '$1'))")
    inside mosquitto_pub -V mqttv5 -h localhost -p 8883 --cafile /etc/village/certificates/ca.crt -i "$1" -u "$1" -P "$password" \
        -q 1 -t "$2" -m "$3"
}
# values: every power of lamp-017 in the store; from InfluxDB, read as Grafana's account.
values() {
    if [ "$STORE" = embedded ]; then
        inside python3 -c "
import sqlite3
store = sqlite3.connect('file:/var/lib/village/store.db?mode=ro', uri=True)
print(*(power for power, in store.execute('SELECT power FROM point_streetlight WHERE power IS NOT NULL ORDER BY _time')), end=' ')"
        return
    fi
    inside bash -c '. /etc/village/influxdb.env; influx -username grafana -password "$VILLAGE_STORE_PASSWORD" -database village \
        -format csv -execute "SELECT power FROM streetlight WHERE device = '"'lamp-017'"'"' | sed 1d | cut -d, -f3 | tr '\n' ' '
}
has_values() { [ "$(values)" = "$1" ]; }
say_power() { publish lamp-017 village/10642/lamp-017/up "{\"power\":$1,\"observed_at\":\"$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)\"}"; }

# the life of an installation -------------------------------------------------------------------------------------

say "from $(git -C "$HERE" log -1 --format='%h %s' "$FROM")"
make_machine
make_network

# What the script says on machines it cannot serve; each in an overlay that is thrown away.
refuses "not root" "run this as root" -- setpriv --reuid=65534 --clear-groups /srv/now/deploy/install.sh
printf 'ID=debian\nVERSION_ID="11"\n' > "$FOLDER/os-release"
refuses "another Debian" "this system is debian 11" --bind-ro="$FOLDER/os-release:/usr/lib/os-release" -- /srv/now/deploy/install.sh
refuses "no room" "MB free for /opt" --tmpfs=/opt:size=50m -- /srv/now/deploy/install.sh
refuses "no network" "Debian's packages cannot be reached" --private-network -- /srv/now/deploy/install.sh
refuses "a wrong option" "no option --fast" -- /srv/now/deploy/install.sh --fast

boot "${NETWORK[@]}"
if text=$(inside /srv/now/deploy/upgrade.sh 2>&1); then fail "upgraded what is not there: $text"; fi
holds "upgrade before install: $text" "$text" "nothing is installed here"
inside /srv/before/deploy/install.sh --store "$STORE" --host localhost --host box.example > "$FOLDER/install.log" 2>&1 ||
    { tail -20 "$FOLDER/install.log" >&2; fail "install.sh failed"; }
passed "installed: $(tail -1 "$FOLDER/install.log")"
SERVICES=(mosquitto village-gateway)
if [ "$STORE" = influxdb ]; then SERVICES+=(influxdb); fi
for unit in "${SERVICES[@]}" village-backup.timer village-certificates.timer; do
    same "$unit" active "$(inside systemctl is-active "$unit" || true)"
done
same "the gateway's account" village "$(inside stat -c %U "/proc/$(inside systemctl show -p MainPID --value village-gateway)")"

# A device, its account, a value.
inside bash -c 'printf "lamp-017,native_streetlight,10642,street,cabinet-1,Đèn 17,20.97,106.29,\nlamp-018,native_streetlight,10642,street,cabinet-1,Đèn 18,20.97,106.29,\n" >> /etc/village/fleet.csv'
inside village check > /dev/null
inside systemctl restart village-gateway
inside village devices credentials create --all --sheet /srv/sheet.csv --host localhost 2> /dev/null
await "the gateway hears the broker" inside python3 -c \
    "import json,urllib.request as u; assert any(p['part'] == 'broker' and p['state'] == 'ok' for p in json.load(u.urlopen('http://127.0.0.1:8765/health'))['parts'])"
say_power 58.5
await "the device's value is in the store" has_values "58.5 "
holds "another device's account may not speak for it" "$(publish lamp-018 village/10642/lamp-017/up '{"power":1}' 2>&1 || true)" \
    "Not authorized"

# The same again.
before=$(listing) pids=$(main_pids)
same "again" "nothing had to be changed" "$(inside /srv/before/deploy/install.sh 2>&1 | tail -1)"
same "no file differs" "" "$(diff <(echo "$before") <(listing) || true)"
same "no service was restarted" "$pids" "$(main_pids)"
inside systemctl start village-backup village-certificates
passed "backup and certificates run as their units: $(inside journalctl -u village-backup -o cat --no-pager | grep checked)"

# An upgrade; what a person edited, what was stored, what waits for the store, accounts and ledger stay.
inside bash -c 'echo "# edited by hand" >> /etc/village/mosquitto.conf; echo "# edited by hand" >> /etc/village/village.toml'
# Without shipped files that nobody edited: those are the release's own.
kept() {
    inside bash -c 'cd /etc/village && for file in $(find . -type f ! -name "*.shipped" | sort); do
        cmp -s "$file" "/opt/village/shipped/_etc_village_$(tr / _ <<< "${file#./}")" || sha256sum "$file"; done
        sha256sum /var/lib/mosquitto/dynamic-security.json'
}
received() { ask /ledger "['totals']['received']"; }
has_received() { [ "$(received)" -eq "$1" ]; }
expected="58.5 "
if [ "$STORE" = influxdb ]; then
    inside systemctl stop influxdb
    before=$(received)
    say_power 59.25
    await "a reading waits for the store, which is away" has_received $((before + 1))
    expected="58.5 59.25 "
fi
settings=$(kept) before=$(received) old=$(inside readlink /opt/village/current)
inside /srv/now/deploy/upgrade.sh > "$FOLDER/upgrade.log" 2>&1 || { tail -20 "$FOLDER/upgrade.log" >&2; fail "upgrade.sh failed"; }
passed "$(tail -1 "$FOLDER/upgrade.log")"
same "settings, secrets and accounts are as before" "$settings" "$(kept)"
same "the ledger goes on" "$before" "$(received)"
same "its sums hold" True "$(ask /ledger "['holds']")"
same "the fleet is as before" 2 "$(ask /devices "['total']")"
await "what waited is in the store" has_values "$expected"
say_power 59.5
expected+="59.5 "
await "the same account speaks to the new release" has_values "$expected"
same "upgraded again" "this release was in use already" "$(inside /srv/now/deploy/upgrade.sh 2>&1 | tail -1)"

# Back, and forward again.
inside /srv/now/deploy/upgrade.sh --back > "$FOLDER/back.log" 2>&1 || { tail -20 "$FOLDER/back.log" >&2; fail "the way back failed"; }
passed "$(grep '^back to' "$FOLDER/back.log")"
same "the release before is in use" "$old" "$(inside readlink /opt/village/current)"
say_power 60.5
expected+="60.5 "
await "and takes readings in" has_values "$expected"
inside /srv/now/deploy/upgrade.sh > /dev/null 2>&1 || fail "upgrading after going back failed"
new=$(inside readlink /opt/village/current)

# A release that cannot be loaded, and one that does not run.
if text=$(inside /srv/unloadable/deploy/upgrade.sh 2>&1); then fail "an unloadable release went through: $text"; fi
holds "an unloadable release: ${text##*$'\n'}" "$text" "the one before is in use"
if text=$(inside WAIT_SECONDS=20 /srv/broken/deploy/upgrade.sh 2>&1); then fail "a broken release went through: $text"; fi
holds "a broken release: ${text##*$'\n'}" "$text" "the one before is in use again"
same "the release that runs is in use" "$new" "$(inside readlink /opt/village/current)"
say_power 61.5
expected+="61.5 "
await "and takes readings in" has_values "$expected"

# A power cut in the middle of an upgrade: the release before is in use, and the same command goes through afterwards.
inside /srv/next/deploy/upgrade.sh > "$FOLDER/next.log" 2>&1 &
UPGRADE=$!
half_installed() { [ "$(find "$MACHINE/opt/village/releases" -maxdepth 1 -type d -newer "$FOLDER/back.log" ! -name releases | wc -l)" -gt 0 ]; }
touch "$FOLDER/back.log"
await "an upgrade has begun" half_installed
cut_power
wait $UPGRADE 2> /dev/null || true
boot "${NETWORK[@]}"
same "after a power cut in the upgrade the release that runs is in use" "$new" "$(inside readlink /opt/village/current)"
say_power 61.75
expected+="61.75 "
await "and takes readings in" has_values "$expected"
inside /srv/next/deploy/upgrade.sh > "$FOLDER/next.log" 2>&1 || { tail -20 "$FOLDER/next.log" >&2; fail "upgrade.sh failed"; }
passed "the same upgrade again: $(tail -1 "$FOLDER/next.log")"
inside /srv/now/deploy/upgrade.sh --back > /dev/null 2>&1 || fail "going back failed"

# A power cut at rest, then a start without a network: nothing is asked of it.
cut_power
boot --private-network
await "after a power cut everything is back" has_values "$expected"
await "and the gateway with it" ask /ledger "['holds']"
say_power 62.5
expected+="62.5 "
await "it takes readings in without a network" has_values "$expected"
same "installed again without a network" "nothing had to be changed" "$(inside /srv/now/deploy/install.sh 2>&1 | tail -1)"
inside village doctor > "$FOLDER/doctor.log" || true
say "village doctor:"
sed 's/^/    /' "$FOLDER/doctor.log"

inside /srv/now/deploy/uninstall.sh > /dev/null 2>&1
same "uninstalled: settings, readings and backups are kept" "fleet.csv journal.db village-" \
    "$(inside bash -c 'cd /etc/village && ls fleet.csv; cd /var/lib/village && ls journal.db; ls /var/backups/village | grep -o "^village-" | head -1' | tr '\n' ' ' | sed 's/ $//')"
say "well: $PASSED checks"
