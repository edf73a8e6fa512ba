"""`usod run`: Snakemake on the bundled workflow, watched and stopped as a user expects."""
