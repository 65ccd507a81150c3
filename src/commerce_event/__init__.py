"""Commerce Event: reliable commerce events over webhooks, self-hosted."""

__version__ = "0.1.0"
