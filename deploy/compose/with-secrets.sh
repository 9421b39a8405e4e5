#!/bin/sh
# Start a program with the secrets of a file in its environment: they stand in no image and no composition.
set -eu
file=${VILLAGE_SECRETS:-/run/village/gateway.env}
if [ -r "$file" ]; then
    while IFS='=' read -r name value; do
        case $name in '' | '#'*) continue ;; esac
        export "$name=$value"
    done < "$file"
fi
exec "$@"
