"""The screens, one module for each entry of the menu."""
