"""Error codes of TLS failures: the code tells the owner of the receiver what to fix."""

import ssl
from typing import Final

from commerce_event.deliver.resolver import TransportError

# Numbers of X509_V_ERR_... in OpenSSL's x509_vfy.h
BY_VERIFY_CODE: Final = {
    **dict.fromkeys((2, 19, 20, 21), "tls_unknown_ca"),  # the chain does not lead to an authority that we know
    **dict.fromkeys((9, 10), "tls_expired"),
    18: "tls_self_signed",
    **dict.fromkeys((62, 64), "tls_wrong_host"),
}
BY_REASON: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "tls_client_certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "tls_version",
    "UNSUPPORTED_PROTOCOL": "tls_version",
}

# Failures that a certificate explains
CERTIFICATE_ERRORS: Final = frozenset(BY_VERIFY_CODE.values())


def tls_failure(error: ssl.SSLError) -> TransportError:
    """Return the failure of a TLS handshake, or of the connection after it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code, reason = BY_VERIFY_CODE.get(error.verify_code), error.verify_message
    else:
        code, reason = BY_REASON.get(error.reason or ""), error.reason or "handshake failed"
    return TransportError(code or "tls_failed", f"TLS failed: {reason[:200]}", phase="tls")
