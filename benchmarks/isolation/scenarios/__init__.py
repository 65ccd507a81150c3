"""The scenarios, by what the caller uses."""
