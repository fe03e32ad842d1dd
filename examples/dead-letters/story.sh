#!/usr/bin/env bash
# A story of dead letters from start to end: a reading whose VIN cannot be, an alert for a workshop whose webhook is down, and
# how both come to a good end. It needs nothing but curl, works in a temporary folder, and ends what it has started.
#
#   examples/dead-letters/story.sh
#
# TIDEMILL names the program, if it is built already: the one of main.rs beside this file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
readings=127.0.0.1:8080
admin=127.0.0.1:7411
workshop_admin=127.0.0.1:7412

if [ -z "${TIDEMILL:-}" ]; then
  cargo build --quiet --example dead-letters --manifest-path "$here/../../Cargo.toml"
  target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/../../Cargo.toml" |
    sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
  TIDEMILL=$target/debug/examples/dead-letters
fi

folder=$(mktemp -d)
started=()
# Ends what was started; an engine that does not end well spoils the story.
stop() {
  for process in "${started[@]}"; do
    kill "$process"
    wait "$process"
  done
  started=()
}
leave() {
  # The story has failed if anything is left; that was said, and the rest has to be ended all the same.
  set +e
  for process in "${started[@]}"; do
    kill -KILL "$process" && wait "$process"
  done
  rm -rf "$folder"
}
trap leave EXIT
cd "$folder"

tell() { printf '\n# %s\n' "$*"; }
# What a reader would type, and what it says.
tidemill() {
  printf '$ tidemill %s\n' "$*"
  "$TIDEMILL" "$@" --admin "$admin"
}
start() {
  "$TIDEMILL" run "$here/$1.yaml" --admin "$2" >"$1.log" 2>&1 &
  started+=($!)
  until "$TIDEMILL" status --admin "$2" >/dev/null 2>&1; do
    kill -0 $! 2>/dev/null || { cat "$1.log" && return 1; }
    sleep 0.1
  done
}
reading() {
  printf '$ curl %s/vehicles/%s -d %s\n' "$readings" "$1" "'$2'"
  curl -sS --fail -H 'content-type: application/json' -d "$2" "http://$readings/vehicles/$1"
}
# Waits until so many letters, or lines of a file, are there.
letters() {
  until [ "$("$TIDEMILL" dlq list --json --admin "$admin" | wc -l)" = "$1" ]; do sleep 0.1; done
}
lines() {
  until [ "$(cat "$1" 2>/dev/null | wc -l)" = "$2" ]; do sleep 0.1; done
}
id_of() {
  "$TIDEMILL" dlq list --json --reason "$1" --admin "$admin" | sed -E 's/^\{"id":"([^"]*)".*/\1/'
}

tell "An engine starts. The workshop's webhook is down."
start tidemill "$admin"

tell "Three readings: a good one, one whose VIN has letters for digits, and one of a battery that is low."
reading WVWZZZ1JZXW000001 '{"id":"r-1","voltage":12.6}'
reading WVWZZZ1JZXWOOOOO2 '{"id":"r-2","voltage":12.5}'
reading WVWZZZ1JZXW000003 '{"id":"r-3","voltage":11.2}'

tell "The second is refused at once, the alert of the third after three attempts. Nothing is lost, and each says why."
letters 2
tidemill dlq list
tidemill dlq show "$(id_of exhausted)"

tell "Where is r-3? Each rule says what it did with it, attempt by attempt."
tidemill explain r-3

tell "Somebody knows the vehicle: the letter is put right, and replayed to the rule that refused it."
tidemill dlq edit "$(id_of rejected)" --set subject=WVWZZZ1JZXW000002
tidemill dlq replay --reason rejected
lines readings.jsonl 3
grep '"id":"r-2"' readings.jsonl

tell "The workshop is back: the alert is replayed."
start workshop "$workshop_admin"
tidemill dlq replay --rule battery/alerts
lines alerts.jsonl 1
cat alerts.jsonl

tell "What became of r-2, from its arrival to its end?"
tidemill explain r-2

tell "No dead letter is left."
letters 0
tidemill dlq list
stop
