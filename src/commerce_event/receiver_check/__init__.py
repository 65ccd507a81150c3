"""Check whether a receiver is ready: send what receivers often fail at, and report each rule as passed or failed.

Rules, requests and reports are pure; `http_client`, `commands` and `runner` do what rules ask for.
"""
