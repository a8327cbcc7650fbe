"""Who takes part in the benchmarks of turns and of context, and how each is started."""

from benchmarks.engine_contestants import LANGGRAPH, Contestant, ours, python_peer

MINI = ("mini-swe-agent==2.4.6", "litellm==1.105.3")
"""mini takes whatever litellm is newest, of which some fail at once; this one works."""
TURNS, CONTEXT = "turns", "context"
OURS, OURS_SHELL = "Manta", "Manta, a shell for each command"
OURS_RAY = "Manta on Ray"
PLAIN = "plain history"

_mini = python_peer("mini_swe_agent", MINI)
_langgraph = python_peer("langgraph_agent", LANGGRAPH)
STORES: dict[str, str] = {
    "floor: a loop, synced": "saved",
    OURS: "instant",
    OURS_SHELL: "shell",
    OURS_RAY: "instant",
    "mini-swe-agent, saved": "saved",
    "LangGraph, SQLite": "sqlite",
    "LangGraph": "memory",
}
"""What `Job.store` means to each."""
AGENTS = (
    Contestant("floor: a loop", "none", ours("floor_agent"), frozenset({TURNS})),
    Contestant(
        "floor: a loop, synced", "a sync each turn", ours("floor_agent"), frozenset({TURNS})
    ),
    Contestant(OURS, "two syncs a turn: power safe", ours("manta_agent"), frozenset({TURNS})),
    Contestant(OURS_SHELL, "two syncs a turn: power safe", ours("manta_agent"), frozenset({TURNS})),
    Contestant("mini-swe-agent", "none", _mini, frozenset({TURNS})),
    Contestant("mini-swe-agent, saved", "written each turn, not synced", _mini, frozenset({TURNS})),
    Contestant("LangGraph", "none", _langgraph, frozenset({TURNS})),
    Contestant("LangGraph, SQLite", "each superstep: power safe", _langgraph, frozenset({TURNS})),
)
ON_RAY = (
    AGENTS[2],
    Contestant(OURS_RAY, "two syncs a turn: power safe", ours("manta_on_ray"), frozenset({TURNS})),
)
"""The same agent, here and there."""
CONTEXTS = (
    Contestant(OURS, "", ours("manta_agent"), frozenset({CONTEXT})),
    Contestant("mini-swe-agent", "", _mini, frozenset({CONTEXT})),
    Contestant(PLAIN, "", ours("floor_agent"), frozenset({CONTEXT})),
)
