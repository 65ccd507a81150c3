"""Delivery: claim due deliveries, send them by HTTP, and record the outcomes.

Inside: ``dispatcher`` (start here), ``claim_loop``, ``sender`` with its connections and resolver, ``result_writer``,
``replays``. Not inside: what follows from an attempt and how much an endpoint may take (``core``), and any SQL.
"""
