"""The admin screens: HTML pages for people, rendered on the server.

Inside: sessions and sign-in, one module for each screen, templates, style sheets and scripts.
Not inside: access to the store, the registry, deliveries or maintenance. A screen reads and changes everything through
the operations of ``api``, with the key of the person who is signed in.
"""
