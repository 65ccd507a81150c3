"""Run what a node does in the background: verify counts, delete old events, index text, follow the clock.

Each job is a module; `runner` runs all of them on a schedule. Not here: anything that accepts or sends an event.
"""
