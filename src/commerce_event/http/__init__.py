"""The HTTP/1.1 server: uvicorn with our limits on heads, connections and slow callers; ASGI helpers; problems.

Nothing here knows events, endpoints or routes: whole requests and scopes are handed to the application.
"""
