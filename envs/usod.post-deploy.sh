#!/usr/bin/env bash
# Runs in the fresh conda environment, from the folder that Snakemake was started in.
set -euo pipefail
python -m pip install --requirement envs/requirements.lock
# Editable: a job reruns when the source changes, and must then run the changed source.
python -m pip install --no-deps --editable .
