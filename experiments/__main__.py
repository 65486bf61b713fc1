"""``python -m experiments`` is ``mer``."""

from experiments.cli import main

main()
