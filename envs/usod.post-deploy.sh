#!/usr/bin/env bash
# Runs in the fresh conda environment. Snakemake runs a copy of this file; the workflow says where usod's sources are, or
# which release it is.
# Snakemake makes a new environment when this file changes; the digest makes it follow the lock file.
# requirements.lock: 5a2ff7f9aee7f268
set -euo pipefail
source=${USOD_SOURCE:-$PWD}
if [ ! -f "$source/envs/requirements.lock" ]; then
    echo "$source/envs/requirements.lock: no such file. Set USOD_SOURCE to the folder of usod's Snakefile." >&2
    exit 1
fi
python -m pip install --requirement "$source/envs/requirements.lock"
if [ -f "$source/pyproject.toml" ]; then
    # Editable: a job reruns when the source changes, and must then run the changed source.
    python -m pip install --no-deps --editable "$source"
else
    python -m pip install --no-deps "usod==$USOD_VERSION"
fi
