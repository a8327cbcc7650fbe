"""What a provider's failure means, and what to say about it. Pure: no litellm here."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum

import httpx

from actors.models.routing import Route, provider_of
from orchestration.errors import ModelError

_WORDS = 240
"""Characters of a provider's message that we repeat."""
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|AIza|ghp)[-_][\w*-]{8,}|(?<=Bearer )[^\s,;]+|(?<=://)[^/@\s]+(?=@)"
)


class Trouble(StrEnum):
    """The kinds of failure that are told apart."""

    RATE = "rate limited"
    BUSY = "overloaded or broken"
    TIMEOUT = "too slow"
    UNREACHABLE = "unreachable"
    GARBLED = "answering what is no completion"
    CREDIT = "out of credit"
    KEY = "refusing the key"
    UNKNOWN = "unknown"
    CONTEXT = "given more than its context holds"
    POLICY = "refusing the content"
    BAD = "refusing the request"


PASSING = frozenset(
    {Trouble.RATE, Trouble.BUSY, Trouble.TIMEOUT, Trouble.UNREACHABLE, Trouble.GARBLED}
)
"""Worth another try."""

_BY_STATUS = {
    401: Trouble.KEY,
    402: Trouble.CREDIT,
    403: Trouble.KEY,
    404: Trouble.UNKNOWN,
    408: Trouble.TIMEOUT,
    409: Trouble.BUSY,
    413: Trouble.CONTEXT,
    425: Trouble.BUSY,
    429: Trouble.RATE,
}
_BY_WORDS = (
    (re.compile(r"insufficient_quota|exceeded your current quota|credit balance"), Trouble.CREDIT),
    (re.compile(r"content[ _]?policy|content management policy"), Trouble.POLICY),
    (
        re.compile(r"context (length|window)|prompt is too long|context size|too many tokens"),
        Trouble.CONTEXT,
    ),
    (re.compile(r"provider not provided|unknown provider"), Trouble.UNKNOWN),
)


class Failure(Exception):  # noqa: N818 - a passing state of one attempt, never seen outside
    """One failed attempt. `words` are the provider's, shortened and without secrets."""

    def __init__(
        self, trouble: Trouble, words: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(trouble, words, retry_after_s)
        self.trouble = trouble
        self.words = words
        self.retry_after_s = retry_after_s
        self.attempts = 1


def classify(name: str, status: int | None, words: str) -> Trouble:
    """The trouble behind an exception's class name, HTTP status and text."""
    if "ContextWindow" in name:
        return Trouble.CONTEXT
    if "ContentPolicy" in name:
        return Trouble.POLICY
    if "Timeout" in name:
        return Trouble.TIMEOUT
    if status is None or status < 500:
        lowered = words.lower()
        for pattern, trouble in _BY_WORDS:
            if pattern.search(lowered):
                return trouble
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Trouble.BAD if status is not None and status < 500 else Trouble.BUSY


def read_failure(error: Exception, environ: Mapping[str, str], now: float) -> Failure:
    """What a provider's client raised, as one of our kinds; `environ` holds what to keep secret."""
    if isinstance(error, Failure):
        return error
    words = shorten(redact(str(getattr(error, "message", error)), environ))
    if _is_unreachable(error):
        return Failure(Trouble.UNREACHABLE, words)
    status = getattr(error, "status_code", None)
    trouble = classify(type(error).__name__, status if isinstance(status, int) else None, words)
    headers: Mapping[str, str] = getattr(error, "litellm_response_headers", None) or {}
    return Failure(trouble, words, parse_retry_after(headers.get("retry-after"), now))


def redact(text: str, environ: Mapping[str, str]) -> str:
    """The text without the values of secret variables and without what looks like a key."""
    for name, value in environ.items():
        if len(value) >= 6 and _SECRET_NAME.search(name):
            text = text.replace(value, f"[{name}]")
    return _SECRET_TEXT.sub("[redacted]", text)


def shorten(words: str) -> str:
    """One line, without litellm's own preambles, at most 240 characters."""
    line = " ".join(re.sub(r"(?:litellm\.)?\b\w+(?:Error|Exception):? ?(?:- )?", "", words).split())
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"


def to_error(route: Route, failure: Failure, near: str = "") -> ModelError:
    """The failure as one that a person can act on; `near` are known names like the unknown one."""
    what = f"{route.model} is {failure.trouble}"
    if failure.attempts > 1:
        what += f" ({failure.attempts} attempts)"
    if failure.words:
        what += f": {failure.words}"
    return ModelError(what, _fix(route, failure.trouble, near))


def key_name(route: Route) -> str:
    """The variable that holds the route's key."""
    return route.key_env or f"{(provider_of(route.model) or 'provider').upper()}_API_KEY"


def _fix(route: Route, trouble: Trouble, near: str) -> str:
    endpoint = route.api_base or "its endpoint (OPENAI_API_BASE for OpenAI-compatible servers)"
    match trouble:
        case Trouble.KEY:
            return f"put a valid key into {key_name(route)}"
        case Trouble.CREDIT:
            return f"add credit to the account behind {key_name(route)}, or choose another model"
        case Trouble.UNKNOWN:
            return "check the name, written PROVIDER/NAME" + (f"; close: {near}" if near else "")
        case Trouble.UNREACHABLE:
            return f"start the server, or correct the address: {endpoint}"
        case Trouble.CONTEXT:
            return "lower the route's context_tokens, or choose a model with a larger context"
        case Trouble.RATE | Trouble.BUSY | Trouble.TIMEOUT:
            return "resume the run later, or add fallbacks to the route"
        case Trouble.GARBLED:
            return f"check that an OpenAI-compatible server answers at {endpoint}"
        case Trouble.POLICY | Trouble.BAD:
            return "change the request or the route's options, or choose another model"


def _is_unreachable(error: BaseException) -> bool:
    """Whether a connection could not be made: litellm calls that a server's error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | ConnectionError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Seconds from a Retry-After header: a number or an HTTP date. None for anything else."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None
