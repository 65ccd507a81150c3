"""Run the product's command with one bug put into it: ``launch_seeded.py BUG serve``."""

import sys


def put_in(bug: str) -> None:
    """Put a bug into the product that this process is about to run."""
    from seeded import BUGS
    from seeded_for_chaos import CHAOS_BUGS

    (BUGS | CHAOS_BUGS)[bug].put_in()


if __name__ == "__main__":
    chosen = sys.argv.pop(1)
    if chosen != "none":
        put_in(chosen)

    from commerce_event.cli.main import main

    main()
