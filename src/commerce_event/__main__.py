"""`python -m commerce_event` is the command."""

from commerce_event.cli.main import main

main()
