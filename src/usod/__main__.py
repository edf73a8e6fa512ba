"""`python -m usod`, the same as `usod`."""

from usod.cli import main

main()
