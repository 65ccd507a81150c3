"""The admin screens: the management calls, for people with a browser."""
