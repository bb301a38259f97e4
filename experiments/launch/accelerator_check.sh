#!/usr/bin/env bash
# See everything once on an accelerator: device tests, speed, one training, the experiments of a tier.
#
#   experiments/launch/accelerator_check.sh --minutes 10 --out accelerator.json [--data IMAGES.npz]
#
# Needs JAX for the accelerator and this project's packages, and nothing that has to be downloaded: images
# come from the .npz file, or are drawn. Every result is in the JSON file as soon as it is there, so that
# a machine that is taken away leaves what was measured. PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python}" -m experiments accelerator "$@"
