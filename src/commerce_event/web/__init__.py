"""What the admin screens and the reference page share: templates, assets, headers."""
