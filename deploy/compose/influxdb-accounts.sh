#!/bin/sh
# Once, when InfluxDB runs for the first time: the second bucket, and tokens with only the rights their holders need.
set -eu
umask 077
SECRETS=${VILLAGE_SECRETS_DIR:-/secrets}
GATEWAY_UID=10001 GRAFANA_UID=472
INFLUX_TOKEN=$(cat "$SECRETS/influxdb/token")
export INFLUX_TOKEN

bucket() { influx bucket list --name "$1" --hide-headers 2> /dev/null | cut -f 1; }

# token FILE NAME USER RIGHTS...: put NAME=token into FILE, unless it is there. InfluxDB tells a token only once.
token() {
    file=$1 name=$2 description=$3
    shift 3
    if grep -q "^$name=" "$file"; then return; fi
    made=$(influx auth create --json --description "$description" "$@" | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
    [ -n "$made" ] || { echo "InfluxDB made no token for the $description; see its log" >&2; exit 1; }
    cp -p "$file" "$file.new"
    echo "$name=$made" >> "$file.new"
    mv "$file.new" "$file"
}

[ -n "$(bucket village_rollup)" ] || influx bucket create --name village_rollup --retention 0 > /dev/null
raw=$(bucket village)
rollup=$(bucket village_rollup)
token "$SECRETS/gateway/gateway.env" GATEWAY_STORE_0_TOKEN gateway \
    --read-bucket "$raw" --write-bucket "$raw" --read-bucket "$rollup" --write-bucket "$rollup"
token "$SECRETS/grafana/grafana.env" VILLAGE_STORE_TOKEN Grafana --read-bucket "$raw" --read-bucket "$rollup"
chown $GATEWAY_UID:$GATEWAY_UID "$SECRETS/gateway/gateway.env"
chown $GRAFANA_UID:0 "$SECRETS/grafana/grafana.env"
