"""What looks like a secret, taken out of text that leaves for another system."""

import os
import re

from actors.models.failures import redact

_MORE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]|github_pat|glpat|xox[abeoprs]|npm|pypi|dop_v1)[-_][\w-]{16,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    re.DOTALL,
)
_NAMED = re.compile(
    r"""((?:password|passwd|secret|token|api[-_]?key|authorization)["']?\s*[:=]\s*["']?)"""
    r"""[^\s"',;]{6,}""",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """The text without values of secret variables, and without what looks like a key."""
    text = redact(text, os.environ)
    return _NAMED.sub(r"\1[redacted]", _MORE.sub("[redacted]", text))
