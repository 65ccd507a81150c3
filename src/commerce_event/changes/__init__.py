"""Data changes: rows of data tables that were inserted, updated or deleted, and where they come from."""
