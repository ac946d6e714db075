"""``python -m aggregator``: the same as ``aggregator``."""

from aggregator.cli import main

main()
