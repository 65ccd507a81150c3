"""Simulate a shop and a receiver on this machine, for `commerce-event demo` and `commerce-event simulate`.

Not here: receivers that misbehave, which only tests need (tests/support), and the simulation of whole nodes
(tests/simulation).
"""
