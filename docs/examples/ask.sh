#!/bin/sh
# The same with kcat: ask.sh localhost:9092 hello '{"who": "you"}' noetl.requests replies
set -eu
kafka=$1 playbook=$2 payload=$3 requests=$4 replies=$5
key=$(cat /proc/sys/kernel/random/uuid) # asked again with the same key, a playbook does not run again
printf '{"playbook": "%s", "payload": %s, "idempotency_key": "%s", "correlation": "%s", "reply_to": "%s"}\n' \
    "$playbook" "$payload" "$key" "$key" "$replies" | kcat -P -b "$kafka" -t "$requests" -X acks=all
until kcat -C -b "$kafka" -t "$replies" -o beginning -e -q -f '%k %s\n' | sed -n "s/^$key //p" | grep .; do :; done
