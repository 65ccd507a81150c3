"""From data changes to notifications: read changes, decide what they raise, and store both in one commit."""
