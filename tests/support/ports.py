"""Free ports for servers that come back at the same address."""

import random
import socket

CHANCE = random.SystemRandom()


def free_port() -> int:
    """Return a free port outside the range that the system gives to outgoing connections."""
    while True:
        port = CHANCE.randrange(15_000, 32_000)  # below what systems hand out by themselves
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
