"""Read the Content-Type header of a request."""

from commerce_event.core.problems import RejectedError

_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})


class UnsupportedMediaError(RejectedError):
    """The media type or charset is not supported."""

    STATUS = 415
    TITLE = "Unsupported media type"


def read_media_type(content_type: str) -> str:
    """Return the media type in lower case, without parameters. Raises UnsupportedMediaError unless it is UTF-8."""
    essence, *parameters = content_type.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in _CHARSETS:
            raise UnsupportedMediaError(f"The charset {charset[:40]!r} is not supported; send UTF-8.")
    return essence.strip().lower()


def is_json(media_type: str) -> bool:
    """Return whether a media type stands for one JSON value."""
    return media_type in {"application/json", "text/json"} or media_type.endswith("+json")
