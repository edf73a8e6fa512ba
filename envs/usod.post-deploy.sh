#!/usr/bin/env bash
# Runs in the fresh conda environment, from the folder that Snakemake was started in.
# Snakemake makes a new environment when this file changes; the digest makes it follow the lock file.
# requirements.lock: 704ce6407e9bd10c
set -euo pipefail
python -m pip install --requirement envs/requirements.lock
# Editable: a job reruns when the source changes, and must then run the changed source.
python -m pip install --no-deps --editable .
