"""Pure decisions and values: routing, filters, retries, signatures, URLs, ids, clocks, problems.

Every other package uses it, and tests need no server. Not here: sockets, files, the event loop, a clock of its own.
"""
