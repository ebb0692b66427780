"""`python -m pqfs`: the command line."""

from pqfs.cli import main

main()
