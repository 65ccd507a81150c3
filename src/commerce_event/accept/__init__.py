"""Accepting events: the publish calls, parsing against the contract, unwrapping batches, and shared durable commits.

No delivering: for each match, ``Dispatch`` reserves a slot before the commit and starts the delivery after it.
"""
