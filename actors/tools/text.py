"""Untrusted bytes become text that is safe to show: to a model, a terminal or a web page."""

import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b[\]PX^_][^\x07\x1b\n]{0,4000}(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC: whole ones,
    # for one without an end would swallow what follows
    r"|\x1b[ -/]*[0-~]"  # two-character escapes, and beginnings of the others
)
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")
_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters except tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # text direction: shows other than it is
    "\u2028\u2029"  # line separators that only some programs see
    "\ufeff\U000e0000-\U000e007f"  # invisible: byte order mark, tag characters
    "\ud800-\udfff"  # half characters, which cannot be encoded
    "]"
)


def neutralise(text: str) -> str:
    """Take out what would act on its reader instead of being read.

    Terminal escapes vanish, overwritten lines (`\\r`) keep their last state, and every other
    control, direction or invisible character becomes its code point, such as `<U+202E>`.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = _OVERWRITTEN.sub("", text).replace("\r", "")
    return _HIDDEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)


def decode(data: bytes) -> str:
    """Bytes of a program or file as neutral text; undecodable ones become U+FFFD."""
    return neutralise(data.decode("utf-8", errors="replace"))


SLACK = 1.2
"""How far a text may go beyond its cap before something is left out: a little gap costs more."""


def cap(text: str, limit: int, hint: str = "") -> str:
    """Head and tail of a text longer than `limit` characters, saying how much is left out.

    The tail gets two thirds: errors and summaries stand at the end. Cuts fall on line ends where
    one is near.
    """
    if len(text) <= limit * SLACK:
        return text
    head, tail = text[: limit // 3], text[-(limit - limit // 3) :]
    if (end := head.rfind("\n")) > len(head) // 2:
        head = head[: end + 1]
    if 0 <= (start := tail.find("\n")) < len(tail) // 2:
        tail = tail[start + 1 :]
    left_out = len(text) - len(head) - len(tail)
    gap = f"[... {left_out:,} characters left out{'; ' + hint if hint else ''} ...]"
    return f"{head.rstrip()}\n{gap}\n{tail}"


def one_line(text: str, limit: int) -> str:
    """The text on one line, at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
