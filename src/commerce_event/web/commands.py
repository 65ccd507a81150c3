"""Shell commands to copy, with the address of this server."""

import shlex


def publish_command(origin: str, event_type: str, body: bytes) -> str:
    """Return a curl command that publishes an event at ``origin``; the key comes from the environment."""
    return (
        f"curl -X POST {shlex.quote(f'{origin}/v1/events/{event_type}')} \\\n"
        f'  -H "Authorization: Bearer $COMMERCE_EVENT_KEY" -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body.decode())}"
    )
