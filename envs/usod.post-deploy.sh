#!/usr/bin/env bash
# Runs in the fresh conda environment, from the folder that Snakemake was started in.
set -euo pipefail
python -m pip install --requirement envs/requirements.lock
python -m pip install --no-deps .
