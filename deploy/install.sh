#!/bin/bash
# Installs the gateway on Debian 12 or a 64-bit Raspberry Pi OS of that age, with Debian's Mosquitto and InfluxDB.
#
#   sudo deploy/install.sh [--store influxdb|embedded] [--host NAME]... [--restore FOLDER] [--wheel FILE] [--wheels FOLDER]
#
#   --store   where readings are kept: Debian's InfluxDB (default), or one file, for a small commune on a small box
#   --host    a name or address by which devices reach this machine; may be repeated; default: its own names
#   --restore a backup, or a folder of them: this machine takes the place of the one that made it, accounts and all
#   --wheel   install this wheel instead of the checkout this script lies in
#   --wheels  take every Python package from this folder, without a network (made by `pip download`)
#
# Run again, it changes nothing that is as it should be. Files that a person edited are kept; the shipped version is
# laid beside them as FILE.shipped. Run from a newer checkout, it upgrades; deploy/upgrade.sh does that with a way back.
set -euo pipefail
umask 022

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ETC=/etc/village OPT=/opt/village VAR=/var/lib/village BACKUPS=/var/backups/village
STORE='' RESTORE='' WHEEL='' WHEELS='' HOSTS=()
CHANGED=0
# Services whose files changed, and which are therefore started anew.
declare -A STALE=()

say() { printf '%s\n' "$*"; }
did() { CHANGED=$((CHANGED + 1)); say "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
has_systemd() { [ -d /run/systemd/system ]; }

while [ $# -gt 0 ]; do
    case $1 in
    --store) STORE=${2:?--store influxdb or embedded}; shift 2 ;;
    --host) HOSTS+=("${2:?--host NAME}"); shift 2 ;;
    --restore) RESTORE=$(realpath "${2:?--restore FOLDER}"); shift 2 ;;
    --wheel) WHEEL=$(realpath "${2:?--wheel FILE}"); shift 2 ;;
    --wheels) WHEELS=$(realpath "${2:?--wheels FOLDER}"); shift 2 ;;
    --help | -h) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) fail "no option $1; see --help" ;;
    esac
done
case $STORE in '' | influxdb | embedded) ;; *) fail "--store is influxdb or embedded, not $STORE" ;; esac

check_machine() {
    [ "$(id -u)" -eq 0 ] || fail "run this as root: sudo $0"
    command -v apt-get > /dev/null || fail "this is no Debian; on another system use compose.yaml, see docs/operate.md"
    local system
    # shellcheck disable=SC1091
    system=$(. /etc/os-release && printf '%s %s' "$ID" "${VERSION_ID:-without a version}")
    [ "$system" = "debian 12" ] ||
        fail "this system is $system; this script knows Debian 12 and Raspberry Pi OS of that age: install one of them, or use compose.yaml"
    case $(dpkg --print-architecture) in
    amd64 | arm64) ;;
    *) fail "this system is $(dpkg --print-architecture); the Python packages exist for amd64 and arm64: install a 64-bit system" ;;
    esac
    need_room /opt 1000
    need_room /var/lib 1000
    local settings=$ETC/village.toml
    if [ -n "$RESTORE" ]; then
        [ ! -e $ETC/village.toml ] || fail "--restore is for a machine that has no gateway yet; here: sudo village restore"
        if [ ! -e "$RESTORE/manifest.json" ]; then BACKUP_SET=$(find "$RESTORE" -maxdepth 1 -name 'village-*Z*' | sort | tail -1); fi
        BACKUP_SET=${BACKUP_SET:-$RESTORE}
        settings=$BACKUP_SET/settings/village.toml
        [ -e "$settings" ] || fail "$RESTORE holds no backup of an installed gateway"
    fi
    # What an earlier run decided holds, unless told otherwise.
    if [ -z "$STORE" ] && [ -e "$settings" ]; then
        STORE=embedded
        if grep -q '^kind = "influxdb1"' "$settings"; then STORE=influxdb; fi
    fi
    STORE=${STORE:-influxdb}
}

# need_room FOLDER MB: programs go into /opt, readings into /var/lib; either may be a disk of its own.
need_room() {
    local free
    free=$(df --output=avail -m "$1" | tail -1)
    [ "$free" -ge "$2" ] || fail "only $((free)) MB free for $1, and $2 are needed; make room (apt-get clean, old logs) or take a larger disk"
}

restore_backup() {
    if [ -z "$RESTORE" ]; then return; fi
    (
        set -a
        # shellcheck disable=SC1091
        . "$BACKUP_SET/include/etc/village/secrets.env"
        set +a
        $OPT/current/bin/village restore "$BACKUP_SET" --replace --with-includes --config $ETC/village.toml
    )
    did "this machine has what $BACKUP_SET holds"
    STALE[mosquitto]=1
}

# InfluxDB's own backup, if there is one beside ours. Before its accounts: they grant rights to what it brings back.
restore_store() {
    local found
    if [ -z "$RESTORE" ]; then return 0; fi
    found=$(find "$(dirname "$BACKUP_SET")" -maxdepth 1 -name 'influxdb-*Z' | sort | tail -1)
    if [ -z "$found" ]; then return 0; fi
    until python3 -c 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:8086/ping")' 2> /dev/null; do sleep 0.5; done
    influxd restore -portable -host 127.0.0.1:8088 "$found" > /dev/null || return 1
    did "InfluxDB has what $found holds"
}

set_up_store() { restore_store && python3 "$HERE/deploy/influxdb_accounts.py"; }

install_packages() {
    local wanted=(python3 python3-venv mosquitto mosquitto-clients ca-certificates) missing=() package
    if [ "$STORE" = influxdb ]; then wanted+=(influxdb influxdb-client); fi
    for package in "${wanted[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    export DEBIAN_FRONTEND=noninteractive
    # Without the option a network that is away is a warning, and the error comes later and says something else.
    apt-get update -qq -o APT::Update::Error-Mode=any ||
        fail "Debian's packages cannot be reached, see above; is there a network, and is /etc/apt/sources.list right? Needed: ${missing[*]}"
    apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null ||
        fail "Debian's packages could not be installed, see above: ${missing[*]}"
    did "installed Debian's ${missing[*]}"
}

make_accounts() {
    if ! getent passwd village > /dev/null; then
        useradd --system --user-group --home-dir $VAR --no-create-home --shell /usr/sbin/nologin village
        did "made the account village"
    fi
    install -d -m 0755 $OPT $OPT/releases $OPT/libexec $OPT/shipped
    install -d -m 0750 -o root -g village $ETC
    install -d -m 0755 $ETC/mosquitto.d $ETC/certificates
    install -d -m 0700 $ETC/authority
    install -d -m 0750 -o village -g village $VAR $BACKUPS
    # The broker looks into this folder for its listeners and certificates, and must not see the rest.
    chmod 0751 $ETC
}

# put SOURCE TARGET MODE [SERVICE]: a shipped file, unless a person edited the one that is there; SERVICE reads it.
put() {
    local source=$1 target=$2 mode=$3 service=${4:-} record
    record=$OPT/shipped/$(printf '%s' "$target" | tr / _)
    if [ -e "$target" ] && ! cmp -s "$source" "$target"; then
        if [ ! -e "$record" ] || ! cmp -s "$record" "$target"; then
            if ! cmp -s "$source" "$target.shipped" 2> /dev/null; then
                install -m "$mode" "$source" "$target.shipped"
                did "$target was edited and is kept; the shipped one is $target.shipped"
            fi
            return 0
        fi
    fi
    if ! cmp -s "$source" "$target" 2> /dev/null; then
        install -D -m "$mode" "$source" "$target.village-new"
        mv "$target.village-new" "$target"
        did "wrote $target"
        if [ -n "$service" ]; then STALE[$service]=1; fi
    fi
    if ! cmp -s "$source" "$record" 2> /dev/null; then install -m 0644 "$source" "$record"; fi
}

# put_once TARGET MODE: standard input, if there is no such file.
put_once() {
    if [ -e "$1" ]; then cat > /dev/null; return 0; fi
    (umask 077 && cat > "$1.village-new")
    chmod "$2" "$1.village-new"
    mv "$1.village-new" "$1"
    did "wrote $1"
}

secret() { python3 -c 'import secrets; print(secrets.token_urlsafe(32))'; }

# release NAME: a name that changes with every byte of what is installed.
release_name() {
    local version sum
    if [ -n "$WHEEL" ]; then
        version=$(basename "$WHEEL" | cut -d- -f2)
        sum=$(cat "$WHEEL" "$HERE/requirements.lock" | sha256sum)
    else
        version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$HERE/pyproject.toml")
        sum=$(cd "$HERE" && find devices gateway dashboards simulators pyproject.toml requirements.lock -type f \
            ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
    fi
    printf '%s-%s' "$version" "${sum:0:12}"
}

install_release() {
    local name release python source pip=(install --quiet --disable-pip-version-check --no-input)
    name=$(release_name)
    if [ ! -e "$OPT/releases/$name/complete" ]; then
        rm -rf "${OPT:?}/releases/$name"
        python3 -m venv "$OPT/releases/$name"
        python=$OPT/releases/$name/bin/python
        if [ -n "$WHEELS" ]; then pip+=(--no-index --find-links "$WHEELS"); fi
        # pip brings certificates of its own; behind an office's proxy those of the system are the right ones.
        export PIP_CERT=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
        "$python" -m pip "${pip[@]}" --require-hashes -r "$HERE/requirements.lock" ||
            fail "the Python packages could not be installed, see above; without a network: --wheel and --wheels, see docs/operate.md"
        source=${WHEEL:-$HERE}
        "$python" -m pip "${pip[@]}" --no-deps "$source" || fail "$source could not be installed, see above"
        "$OPT/releases/$name/bin/village" --version > /dev/null || fail "the new release does not start"
        # After a power cut a release must not look whole whose files are empty.
        sync -f "$OPT/releases/$name"
        touch "$OPT/releases/$name/complete"
        did "installed release $name"
    fi
    if [ "$(readlink $OPT/current || true)" != "releases/$name" ]; then
        if [ -e $OPT/current ]; then ln -sfn "$(readlink $OPT/current)" $OPT/previous; fi
        ln -sfn "releases/$name" $OPT/current.new
        mv -T $OPT/current.new $OPT/current
        did "release $name is in use"
        STALE[village-gateway]=1
    fi
    # The one in use and the one before it are kept.
    for release in "$OPT"/releases/*; do
        case releases/$(basename "$release") in
        "$(readlink $OPT/current)" | "$(readlink $OPT/previous || true)") ;;
        *) rm -rf "$release" ;;
        esac
    done
}

write_settings() {
    put_once $ETC/village.toml 0640 < <(
        cat "$HERE/deploy/village.toml"
        if [ "$STORE" = influxdb ]; then
            printf '[[store]]\nname = "commune"\nkind = "influxdb1"\nurl = "http://127.0.0.1:8086"\nusername = "gateway"\n'
        else
            printf '[[store]]\nname = "commune"\nkind = "embedded"\n'
        fi
    )
    put_once $ETC/fleet.csv 0640 <<< "device,profile,commune,zone,group,name,latitude,longitude,hardware_ids"
    put_once $ETC/secrets.env 0600 <<< "# Read by the service manager; only root may see it."
    if [ "$STORE" = influxdb ] && ! grep -q '^GATEWAY_STORE_0_PASSWORD=' $ETC/secrets.env; then
        printf 'GATEWAY_STORE_0_PASSWORD=%s\n' "$(secret)" >> $ETC/secrets.env
        did "made the gateway's password at InfluxDB"
    fi
    put_once $ETC/backup.env 0644 < <(
        printf '%s\n' "# Where the nightly backup goes: another disk, if there is one." "BACKUP_TO=$BACKUPS" "BACKUP_KEEP=7" \
            "# Folder of the province's data center, where it is mounted; empty: no copy." "BACKUP_COPY_TO=" \
            "# InfluxDB's own backup too: yes or no." "BACKUP_INFLUXDB=yes"
    )
    chown root:village $ETC/village.toml
    chown village:village $ETC/fleet.csv
}

write_files() {
    local unit
    put "$HERE/deploy/mosquitto.conf" $ETC/mosquitto.conf 0644 mosquitto
    put "$HERE/deploy/mosquitto.d/local.conf" $ETC/mosquitto.d/local.conf 0644 mosquitto
    put "$HERE/deploy/mosquitto.d/tls.conf" $ETC/mosquitto.d/tls.conf 0644 mosquitto
    put "$HERE/deploy/mosquitto.d/mutual.conf.example" $ETC/mosquitto.d/mutual.conf.example 0644
    for unit in village backup renew-certificates; do put "$HERE/deploy/libexec/$unit" "$OPT/libexec/$unit" 0755; done
    put "$HERE/deploy/libexec/village" /usr/local/bin/village 0755
    for unit in village-gateway.service village-backup.service village-backup.timer village-certificates.service \
        village-certificates.timer mosquitto.service.d/village.conf; do
        put "$HERE/deploy/systemd/$unit" "/etc/systemd/system/$unit" 0644 "${unit%%.*}"
    done
    if [ "$STORE" = influxdb ]; then
        put "$HERE/deploy/influxdb.conf" $ETC/influxdb.conf 0644 influxdb
        put "$HERE/deploy/systemd/influxdb.service.d/village.conf" /etc/systemd/system/influxdb.service.d/village.conf 0644 \
            influxdb
    fi
}

make_certificates() {
    local village=$OPT/current/bin/village host options=()
    if [ ! -e $ETC/hosts.env ] || [ ${#HOSTS[@]} -gt 0 ]; then
        if [ ${#HOSTS[@]} -eq 0 ]; then
            read -r -a HOSTS <<< "$(hostname) localhost 127.0.0.1 $(hostname --all-ip-addresses 2> /dev/null || true)"
        fi
        printf '# Names and addresses by which devices reach this machine; the broker shows them in its certificate.\nVILLAGE_HOSTS="%s"\n' \
            "${HOSTS[*]}" > $ETC/hosts.env.new
        if cmp -s $ETC/hosts.env.new $ETC/hosts.env 2> /dev/null; then rm $ETC/hosts.env.new; else
            mv $ETC/hosts.env.new $ETC/hosts.env
            did "wrote $ETC/hosts.env"
        fi
    fi
    if [ ! -e $ETC/authority/ca.key ]; then
        "$village" certificates authority --folder $ETC/authority > /dev/null
        did "made the certificate authority; keep a copy of $ETC/authority in a safe place"
    fi
    # shellcheck disable=SC1091
    . $ETC/hosts.env
    for host in $VILLAGE_HOSTS; do options+=(--host "$host"); done
    if "$village" certificates server broker "${options[@]}" --group mosquitto > /dev/null; then
        did "made the broker's certificate for $VILLAGE_HOSTS"
        STALE[mosquitto]=1
    elif [ $? -ne 3 ]; then fail "the broker's certificate could not be made; see above"; fi
    # A restored file may have lost its group.
    chown root:mosquitto $ETC/certificates/broker.key
    chmod 0640 $ETC/certificates/broker.key
}

make_broker_accounts() {
    local accounts=/var/lib/mosquitto/dynamic-security.json
    if [ ! -e $accounts ]; then
        set -a
        # shellcheck disable=SC1091
        . $ETC/secrets.env
        set +a
        $OPT/current/bin/village devices credentials begin --accounts-file $accounts --admin-file $ETC/broker-admin.env \
            --secrets-file $ETC/secrets.env --config $ETC/village.toml > /dev/null
        did "made the broker's accounts: an administrator, and the gateway"
        STALE[mosquitto]=1
    fi
    chown mosquitto:mosquitto $accounts
    chmod 0640 $accounts
}

# with_influxdb COMMAND...: run a command while InfluxDB runs; where systemd does, it runs already.
with_influxdb() {
    local running=''
    if ! has_systemd; then
        setpriv --reuid=influxdb --regid=influxdb --init-groups influxd -config $ETC/influxdb.conf > /dev/null 2>&1 &
        running=$!
    fi
    "$@" || { [ -z "$running" ] || kill "$running"; return 1; }
    if [ -n "$running" ]; then kill "$running"; wait "$running" || true; fi
}

make_store_accounts() {
    if [ "$STORE" != influxdb ]; then return; fi
    put_once $ETC/influxdb.env 0600 < <(
        printf '%s\n' "# InfluxDB's administrator, and Grafana's account, which may only read." \
            "VILLAGE_INFLUXDB_ADMIN_PASSWORD=$(secret)" "VILLAGE_STORE_PASSWORD=$(secret)"
    )
    set -a
    # shellcheck disable=SC1091
    . $ETC/influxdb.env
    # shellcheck disable=SC1091
    . $ETC/secrets.env
    set +a
    install -d -m 0750 -o influxdb -g influxdb /var/lib/influxdb
    with_influxdb set_up_store || fail "InfluxDB's accounts could not be made; see above"
}

start_services() {
    local services=(mosquitto.service)
    if [ "$STORE" = influxdb ]; then services+=(influxdb.service); fi
    if ! has_systemd; then
        if [ "$1" = stores ]; then return; fi
        say "systemd does not run here: nothing was started. With it, the services start at the next boot:"
        say "  ${services[*]} village-gateway.service village-backup.timer village-certificates.timer"
        systemctl enable --quiet "${services[@]}" village-gateway.service village-backup.timer village-certificates.timer 2> /dev/null || true
        return
    fi
    systemctl daemon-reload
    systemctl enable --quiet "${services[@]}" village-gateway.service village-backup.timer village-certificates.timer
    systemctl start village-backup.timer village-certificates.timer
    if [ "$1" = stores ]; then
        restart_if_stale "${services[@]}"
    else
        restart_if_stale village-gateway.service
    fi
}

restart_if_stale() {
    local service
    for service in "$@"; do
        if [ -n "${STALE[${service%.service}]:-}" ] || ! systemctl is-active --quiet "$service"; then
            systemctl restart "$service" || fail "$service does not start; see: journalctl -u $service"
            say "started $service"
        fi
    done
}

check_machine
install_packages
make_accounts
install_release
restore_backup
write_settings
write_files
make_certificates
make_broker_accounts
start_services stores
make_store_accounts
start_services gateway
if [ $CHANGED -eq 0 ]; then say "nothing had to be changed"; else say "$CHANGED changes; next: add the devices to $ETC/fleet.csv, then see docs/operate.md"; fi
