"""Endpoints, API keys and ended sessions in memory, written through to the store; the key file; authentication.

What events match, and what callers may do, is looked up here without I/O. No HTTP, no screens, no delivery.
"""
