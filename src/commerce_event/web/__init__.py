"""What the admin screens and the reference page share.

Inside: base templates, assets, response headers, highlighting, and text helpers.
Not inside: routes of screens, sessions, or anything that reads data.
"""
