"""Measure this machine for `commerce-event bench`: real processes, and ratios to baselines of the same run.

Not here: scenarios that only developers need. They are in benchmarks/ at the root of the repository.
"""
