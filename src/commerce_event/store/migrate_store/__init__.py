"""Moving a store from the embedded engine to PostgreSQL, whole, checked, and going on where a former try ended."""
