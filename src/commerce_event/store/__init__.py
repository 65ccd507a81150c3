"""Stores: one port, one behaviour suite, several engines."""
