#!/usr/bin/env bash
# Train on Cloud TPU virtual machines: one slice, or several joined by the data-center network.
#
#   PROJECT=my-project ZONE=us-west4-a BUCKET=my-bucket DATA=tfds \
#     experiments/launch/tpu.sh all simclr_cifar10_200ep --num-steps 20000
#
# Steps, each also a command of its own: create, data, copy, run, fetch, delete; `all` does them in
# this order and deletes the machines even when training fails. `data` uploads the folder of data
# sets DATA to the bucket, which the machines mount; `run` reads it there. `run` again resumes. With
# --dry-run first, every command is printed and none is executed.
#
# Settings, from the environment:
#   PROJECT ZONE BUCKET   required; the bucket (hierarchical namespace, made if need be) holds runs
#   DATA                  folder of TFDS data sets on this machine, needed by `data` and by presets
#                         whose images are not embedded; or give `run` a --data-dir of your own
#   NAME                  of the machines (ssljax)
#   TYPE                  accelerator of each slice (v5litepod-16)
#   VERSION               runtime of the machines (v2-alpha-tpuv5-lite)
#   SLICES                number of slices (1)
#   SPOT                  1 for machines that may be taken away: 3 restarts of `run` (0)
#   OUT                   where `fetch` puts the run (runs/NAME)
set -euo pipefail

dry_run=0
if [ "${1:-}" = "--dry-run" ]; then
  dry_run=1
  shift
fi
usage() {
  sed -n '2,21s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
[ $# -ge 1 ] || usage
step=$1
shift
case $step in create | data | copy | run | fetch | delete | all) ;; *) usage ;; esac
for name in PROJECT ZONE BUCKET; do
  if [ -z "${!name:-}" ]; then
    echo "tpu.sh: $name is not set: put $name=… in front of the command" >&2
    exit 2
  fi
done
NAME=${NAME:-ssljax}
TYPE=${TYPE:-v5litepod-16}
VERSION=${VERSION:-v2-alpha-tpuv5-lite}
SLICES=${SLICES:-1}
SPOT=${SPOT:-0}
OUT=${OUT:-runs/$NAME}
DATA=${DATA:-}
if [ -n "$DATA" ] && [ ! -d "$DATA" ]; then
  echo "tpu.sh: DATA is $DATA, which is no folder here: name the folder that holds the TFDS data sets" >&2
  exit 2
fi
if ! [[ $SLICES =~ ^[1-9][0-9]*$ ]]; then
  echo "tpu.sh: SLICES is $SLICES: give a number of at least 1" >&2
  exit 2
fi
where=(--project="$PROJECT" --zone="$ZONE")
root=$(cd "$(dirname "$0")/../.." && pwd)

# Every command goes through here: printed as it can be typed, and executed unless this is a rehearsal.
do_it() {
  printf '%q ' "$@"
  printf '\n'
  [ "$dry_run" = 1 ] || "$@"
}

on_all() { # a command line, on every worker of every slice
  do_it gcloud alpha compute tpus queued-resources ssh "$NAME" "${where[@]}" \
    --node=all --worker=all --command="$1"
}

create() {
  if [ "$dry_run" = 1 ] || ! gcloud storage buckets describe "gs://$BUCKET" --project="$PROJECT" >/dev/null 2>&1; then
    do_it gcloud storage buckets create "gs://$BUCKET" --project="$PROJECT" \
      --location="${ZONE%-*}" --uniform-bucket-level-access --enable-hierarchical-namespace
  fi
  local nodes=(--node-id="$NAME")
  [ "$SLICES" = 1 ] || nodes=(--node-count="$SLICES" --node-prefix="$NAME")
  local spot=()
  [ "$SPOT" = 0 ] || spot=(--spot)
  do_it gcloud compute tpus queued-resources create "$NAME" "${where[@]}" "${nodes[@]}" \
    --accelerator-type="$TYPE" --runtime-version="$VERSION" "${spot[@]}"
  local state=""
  [ "$dry_run" = 0 ] || state=ACTIVE
  while [ "$state" != ACTIVE ]; do
    state=$(gcloud compute tpus queued-resources describe "$NAME" "${where[@]}" --format='value(state.state)')
    echo "machines are $state"
    case $state in FAILED | SUSPENDED) exit 1 ;; ACTIVE) ;; *) sleep 20 ;; esac
  done
}

data() {
  [ -n "$DATA" ] || {
    echo "tpu.sh: DATA is not set: put DATA=FOLDER in front of the command, the folder of TFDS data sets" >&2
    exit 2
  }
  do_it gcloud storage rsync --recursive "$DATA" "gs://$BUCKET/tfds"
}

copy() {
  local archive=/tmp/$NAME-source.tar.gz
  do_it git -C "$root" archive --format=tar.gz --output="$archive" HEAD
  do_it gcloud alpha compute tpus queued-resources scp "$archive" "$NAME:/tmp/source.tar.gz" \
    "${where[@]}" --node=all --worker=all
  # These expand on the workers, whose own Python may be too old: uv brings one.
  # shellcheck disable=SC2016
  on_all 'rm -rf ~/ssljax && mkdir -p ~/ssljax && tar -xzf /tmp/source.tar.gz -C ~/ssljax && python3 -m pip install --quiet --user uv && ~/.local/bin/uv venv --quiet --clear --python 3.12 ~/venv && ~/.local/bin/uv pip install --quiet --python ~/venv/bin/python -e ~/ssljax "jax[tpu]"'
  # shellcheck disable=SC2016
  on_all 'command -v gcsfuse >/dev/null || { curl -fsS https://packages.cloud.google.com/apt/doc/apt-key.gpg | sudo tee /usr/share/keyrings/cloud.google.asc >/dev/null && echo "deb [signed-by=/usr/share/keyrings/cloud.google.asc] https://packages.cloud.google.com/apt gcsfuse-$(lsb_release -cs) main" | sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null && sudo apt-get update -q && sudo apt-get install -q -y gcsfuse; }'
  # Metadata must not be cached: what one host writes the others have to see at once.
  on_all "mkdir -p ~/runs && (mountpoint -q ~/runs || gcsfuse --metadata-cache-ttl-secs=0 $BUCKET ~/runs)"
}

run() {
  [ $# -ge 1 ] || {
    echo "tpu.sh: run what? Name a preset: tpu.sh run simclr_cifar10_200ep" >&2
    exit 2
  }
  local words attempts=1
  case " $* " in *' --data-dir'* | *' --data '*) ;; *) [ -z "$DATA" ] || set -- "$@" --data-dir runs/tfds ;; esac
  words=$(printf '%q ' "$@")
  [ "$SPOT" = 0 ] || attempts=4
  local attempt
  for ((attempt = 1; attempt <= attempts; attempt++)); do
    on_all "cd ~ && ~/venv/bin/python -m ssljax train $words--workdir runs/$NAME --distributed" && return 0
    echo "tpu.sh: training ended early (attempt $attempt of $attempts)" >&2
  done
  return 1
}

fetch() {
  do_it mkdir -p "$OUT"
  do_it gcloud storage rsync --recursive "gs://$BUCKET/$NAME" "$OUT"
}

delete() {
  do_it gcloud compute tpus queued-resources delete "$NAME" "${where[@]}" --force --quiet
}

case $step in
create) create ;;
data) data ;;
copy) copy ;;
run) run "$@" ;;
fetch) fetch ;;
delete) delete ;;
all)
  [ $# -ge 1 ] || usage
  trap delete EXIT
  create
  [ -z "$DATA" ] || data
  copy
  code=0
  run "$@" || code=$?
  fetch || true
  exit "$code"
  ;;
esac
