"""Free ports for servers that come back at the same address."""

import random
import socket

CHANCE = random.SystemRandom()


def free_port() -> int:
    """Return a port that nobody listens on and that no outgoing connection is given meanwhile."""
    while True:
        port = CHANCE.randrange(15_000, 32_000)  # below what systems hand out by themselves
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
