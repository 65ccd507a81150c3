"""Run the product's command with one bug put into it: ``launch_seeded.py BUG serve``."""

import sys

from seeded import BUGS

from commerce_event.cli.main import main

bug = sys.argv.pop(1)
if bug != "none":
    BUGS[bug].put_in()
main()
