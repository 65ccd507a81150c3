"""From data changes to notifications: pure rules, the same for accepting, explaining and previewing a change."""
