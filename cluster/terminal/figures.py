"""Figures as people read them: money, time, tokens."""

from cluster.runs.view import RunView


def totals(view: RunView, until: float = 0.0) -> str:
    """What a run took so far, or `until` a later time."""
    usage = view.usage
    tokens = f"{usage.input_tokens + usage.output_tokens:,} tokens"
    if usage.cached_tokens and usage.input_tokens:
        tokens += f" ({usage.cached_tokens / usage.input_tokens:.0%} of input cached)"
    seconds = max(view.heard, until) - view.began if view.began else 0.0
    spent = [duration(seconds), counted(view.turns, "turn"), tokens]
    return ", ".join([*spent, cost(usage.cost_usd)] if usage.cost_usd else spent)


def counted(number: int, noun: str, many: str = "") -> str:
    """Such as `1 turn` or `1,204 turns`."""
    return f"{number:,} {noun if number == 1 else many or f'{noun}s'}"


def cost(usd: float) -> str:
    """Dollars; empty where models have no price."""
    return f"${usd:.2f}" if usd else ""


def short(number: int) -> str:
    """Such as 940, 18.8k or 2.1M."""
    if number < 1_000:
        return str(number)
    return f"{number / 1_000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def duration(seconds: float) -> str:
    """Such as 8s, 2m05s or 1h02m."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"
