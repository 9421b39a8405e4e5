#!/bin/bash
# Takes the gateway off this machine and keeps everything it knows: /etc/village, /var/lib/village and the backups stay,
# and so do Debian's Mosquitto and InfluxDB with their data. deploy/install.sh puts it back as it was.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || { echo "uninstall.sh: run this as root: sudo $0" >&2; exit 1; }
UNITS=(village-gateway.service village-backup.timer village-backup.service village-certificates.timer village-certificates.service)

if [ -d /run/systemd/system ]; then systemctl disable --quiet --now "${UNITS[@]}" 2> /dev/null || true; fi
for unit in "${UNITS[@]}"; do
    rm -f "/etc/systemd/system/$unit" /etc/systemd/system/*.wants/"$unit"
done
# Broker and store go back to Debian's own configuration.
for service in mosquitto influxdb; do
    rm -f "/etc/systemd/system/$service.service.d/village.conf"
    rmdir --ignore-fail-on-non-empty "/etc/systemd/system/$service.service.d" 2> /dev/null || true
done
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    for service in mosquitto influxdb; do systemctl try-restart "$service.service" || true; done
fi
rm -rf /opt/village /usr/local/bin/village
echo "the gateway is gone; its settings, readings and backups are kept in /etc/village, /var/lib/village, /var/backups/village"
