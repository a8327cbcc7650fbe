"""The engines' benchmark as a picture: bars of steps per second, one panel for each job."""

from html import escape

from benchmarks.engine_contestants import CONTESTANTS, Contestant
from benchmarks.engine_report import Results

PANELS = {
    "chain-1": "chain, 1 KB",
    "chain-100": "chain, 100 KB",
    "fan": "fan-out, 1 KB",
    "loop": "loop, 1 KB",
}
NAMES, BARS, LINE, GAP = 170, 250, 20, 34
OURS, PEERS, FLOORS = "#0b7a75", "#8a94a6", "#d5d9e0"
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}"
    ".title{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#d0d7de}}"
)


def plot(results: Results) -> str:
    """An SVG of two panels by two."""
    panels = [
        _panel(results, title, name) for title, name in PANELS.items() if title in results.plays
    ]
    tall = max((len(lines) for lines in panels), default=0) * LINE + GAP
    wide = NAMES + BARS + 70
    placed = [
        f'<g transform="translate({(n % 2) * wide},{(n // 2) * tall + 8})">{_joined(lines)}</g>'
        for n, lines in enumerate(panels)
    ]
    height = (len(panels) + 1) // 2 * tall
    caption = (
        f"Steps per second, higher is better. {results.at}; {results.rounds} rounds, medians. "
        "Outlined: a power cut may take acknowledged steps."
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * wide} {height + 28}" '
        f'role="img" aria-label="{escape(caption)}"><style>{STYLE}</style>'
        f'{"".join(placed)}<text x="8" y="{height + 18}">{escape(caption)}</text></svg>\n'
    )


def _panel(results: Results, title: str, heading: str) -> list[str]:
    rates = {
        c: rate
        for c in CONTESTANTS
        if c.on != "memory" and (rate := results.rate(title, c.name)) is not None
    }
    most = max(rates.values(), default=1.0)
    head = f'<text class="title" x="{NAMES}" y="14">{escape(heading)}</text>'
    return [head, *(_bar(c, rate, most) for c, rate in rates.items())]


def _bar(contestant: Contestant, rate: float, most: float) -> str:
    name = contestant.name
    colour = FLOORS if name.startswith("floor") else OURS if name.startswith("Manta") else PEERS
    paint = f'fill="{colour}"' if contestant.is_power_safe else f'fill="none" stroke="{colour}"'
    length = max(1.0, rate / most * BARS)
    return (
        f'<text x="{NAMES - 8}" y="14" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{NAMES}" y="3" width="{length:.1f}" height="14" rx="2" {paint}/>'
        f'<text x="{NAMES + length + 6:.1f}" y="14">{rate:,.0f}</text>'
    )


def _joined(lines: list[str]) -> str:
    return "".join(
        f'<g transform="translate(0,{n * LINE})">{line}</g>' for n, line in enumerate(lines)
    )
