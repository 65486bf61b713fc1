"""``mer``, also as ``python -m experiments``: signals are seen to first, then the libraries are loaded."""

from experiments.signals import leave_at_once


def main() -> None:
    """Entry point of the console script."""
    leave_at_once()
    from experiments.cli import main as run

    run()


if __name__ == "__main__":
    main()
