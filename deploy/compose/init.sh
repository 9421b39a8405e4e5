#!/bin/sh
# First start of the composition: secrets, certificates, accounts, settings. Run again, it changes nothing that is there.
set -eu
umask 077

SHARE=${VILLAGE_SHARE:-/usr/share/village}
CONFIG=${VILLAGE_CONFIG_DIR:-/etc/village}
ROOT=${VILLAGE_ROOT:-}
HOST=${VILLAGE_HOST:-localhost}
BROKER_UID=1883 INFLUXDB_UID=1000 GATEWAY_UID=10001 GRAFANA_UID=472

secret() { python3 -c 'import secrets; print(secrets.token_urlsafe(32))'; }

# put_once FILE: standard input becomes its content, whole or not at all, if there is no such file yet.
put_once() {
    if [ ! -e "$1" ]; then
        cat > "$1.new"
        mv "$1.new" "$1"
    fi
}

if [ ! -e "$CONFIG/village.toml" ]; then
    cp "$SHARE/village.toml" "$CONFIG/village.toml"
    echo "village/village.toml: the settings, to be edited"
fi
if [ ! -e "$CONFIG/fleet.csv" ]; then
    echo "device,profile,commune,zone,group,name,latitude,longitude,hardware_ids" > "$CONFIG/fleet.csv"
    echo "village/fleet.csv: the fleet, empty; add a row for each device"
fi
chmod 755 "$CONFIG"
chmod 644 "$CONFIG/village.toml" "$CONFIG/fleet.csv"

# Certificates: names inside the composition, and the one by which devices reach this machine.
[ -e "$ROOT/authority/ca.key" ] || village certificates authority --folder "$ROOT/authority"
mkdir -p "$ROOT/broker/certificates" "$ROOT/broker/mosquitto.d"
village certificates server broker --authority "$ROOT/authority" --folder "$ROOT/broker/certificates" \
    --host "$HOST" --host mosquitto --host localhost || [ $? -eq 3 ]
cp "$ROOT/authority/ca.crt" "$CONFIG/ca.crt"
chmod 644 "$CONFIG/ca.crt"

# The broker: the shipped configuration, listeners of its own, accounts.
cp "$SHARE/mosquitto.conf" "$ROOT/broker/mosquitto.conf"
cp "$SHARE/listeners.conf" "$ROOT/broker/mosquitto.d/listeners.conf"
put_once "$ROOT/secrets/gateway/gateway.env" << EOF
GATEWAY_API_TOKEN=$(secret)
EOF
if [ ! -e "$ROOT/broker-data/dynamic-security.json" ]; then
    # The settings ask for two secrets that have no part in this.
    export GATEWAY_API_TOKEN=not-needed-for-this GATEWAY_STORE_0_TOKEN=not-made-yet
    village devices credentials begin --accounts-file "$ROOT/broker-data/dynamic-security.json" \
        --admin-file "$ROOT/secrets/broker-admin/admin.env" --secrets-file "$ROOT/secrets/gateway/gateway.env" \
        --config "$CONFIG/village.toml"
fi

# InfluxDB and Grafana: their administrators. Tokens for gateway and Grafana are made when InfluxDB runs.
secret | put_once "$ROOT/secrets/influxdb/password"
secret | put_once "$ROOT/secrets/influxdb/token"
put_once "$ROOT/secrets/grafana/grafana.env" << EOF
GF_SECURITY_ADMIN_PASSWORD=$(secret)
GF_SECURITY_SECRET_KEY=$(secret)
EOF

chown -R $BROKER_UID:$BROKER_UID "$ROOT/broker" "$ROOT/broker-data"
chown -R $INFLUXDB_UID:$INFLUXDB_UID "$ROOT/secrets/influxdb"
chown -R $GATEWAY_UID:$GATEWAY_UID "$ROOT/secrets/gateway" "$ROOT/gateway-data"
chown -R $GRAFANA_UID:0 "$ROOT/secrets/grafana"
