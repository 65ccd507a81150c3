"""Capture: follow a PostgreSQL database by logical decoding, and post its row changes to a server.

It runs in a process of its own (`commerce-event capture`). It imports nothing of the server but `core` and `settings`.
"""
