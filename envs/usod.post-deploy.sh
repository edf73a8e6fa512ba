#!/usr/bin/env bash
# Runs in the fresh conda environment. Snakemake runs a copy of this file, from the folder that it was started in.
# Snakemake makes a new environment when this file changes; the digest makes it follow the lock file.
# requirements.lock: 704ce6407e9bd10c
set -euo pipefail
if [ ! -f envs/requirements.lock ]; then
    echo "envs/requirements.lock: not in $PWD. Start snakemake --sdm conda in usod's own folder." >&2
    exit 1
fi
python -m pip install --requirement envs/requirements.lock
# Editable: a job reruns when the source changes, and must then run the changed source.
python -m pip install --no-deps --editable .
