"""The screens, one module for each menu item or page."""
