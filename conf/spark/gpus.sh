#!/bin/sh
# The GPUs of a machine as Spark asks for them: {"name": "gpu", "addresses": ["0", "1"]}, with the numbers that nvidia-smi gives.
# Ends with nvidia-smi's own words where there is no driver or no GPU: an executor without its GPUs must not start.
set -eu
command -v nvidia-smi > /dev/null || { echo "gpus.sh: there is no nvidia-smi here, so no driver of a GPU" >&2; exit 1; }
found=$(nvidia-smi --query-gpu=index --format=csv,noheader,nounits) || { echo "gpus.sh: nvidia-smi failed: $found" >&2; exit 1; }
addresses=$(printf '%s\n' "$found" | sed -n 's/^[[:space:]]*\([0-9][0-9]*\)[[:space:]]*$/"\1"/p' | paste -sd , -)
[ -n "$addresses" ] || { echo "gpus.sh: nvidia-smi named no GPU: $found" >&2; exit 1; }
echo "{\"name\": \"gpu\", \"addresses\": [$addresses]}"
