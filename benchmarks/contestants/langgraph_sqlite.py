"""LangGraph with its SQLite checkpointer, every superstep saved before the next begins."""

import operator
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from benchmarks.contestants.meter import Job, Resumed, measured, number_of, payload, read_job


class Value(TypedDict):
    value: str


class Gathered(TypedDict):
    items: list[int]
    found: Annotated[list[str], operator.add]


class Item(TypedDict):
    item: int


def chain(job: Job) -> StateGraph:
    def numbered(number: int) -> Any:
        def work(state: Value) -> Value:
            assert number_of(state["value"]) == number
            return {"value": payload(number + 1, job.size)}

        return work

    graph = StateGraph(Value)
    names = [START, *(f"step{number}" for number in range(job.steps)), END]
    for number, name in enumerate(names[1:-1]):
        graph.add_node(name, numbered(number))
    for before, after in pairwise(names):
        graph.add_edge(before, after)
    return graph


def fan(job: Job) -> StateGraph:
    def work(state: Item) -> dict[str, list[str]]:
        return {"found": [payload(state["item"], job.size)]}

    graph = StateGraph(Gathered)
    graph.add_node("work", work)
    graph.add_conditional_edges(
        START, lambda state: [Send("work", {"item": item}) for item in state["items"]], ["work"]
    )
    graph.add_edge("work", END)
    return graph


def loop(job: Job) -> StateGraph:
    def work(state: Value) -> Value:
        return {"value": payload(number_of(state["value"]) + 1, job.size)}

    def goes_on(state: Value) -> str:
        return "work" if number_of(state["value"]) < job.steps else END

    graph = StateGraph(Value)
    graph.add_node("work", work)
    graph.add_edge(START, "work")
    graph.add_conditional_edges("work", goes_on, ["work", END])
    return graph


def gated(resumed: Resumed) -> StateGraph:
    def gate(state: Value) -> Value:
        interrupt("go on?")
        return state

    def behind(state: Value) -> Value:
        resumed.reached()
        return state

    graph = StateGraph(Value)
    graph.add_node("gate", gate)
    graph.add_node("behind", behind)
    graph.add_edge(START, "gate")
    graph.add_edge("gate", "behind")
    graph.add_edge("behind", END)
    return graph


def main() -> None:
    job = read_job()
    file = Path(job.directory, "langgraph.db")
    connection = sqlite3.connect(file, check_same_thread=False)
    saver = SqliteSaver(connection)
    saver.setup()

    def run(graph: StateGraph, job: Job, value: object) -> dict[str, Any]:
        config = {"configurable": {"thread_id": job.name}, "recursion_limit": job.steps + 10}
        compiled = graph.compile(checkpointer=saver)
        return compiled.invoke(value, config, durability="sync")

    def play(job: Job) -> None:
        if job.work == "fan":
            gathered = run(fan(job), job, {"items": list(range(job.steps)), "found": []})
            assert len(gathered["found"]) == job.steps
            return
        graph = chain(job) if job.work == "chain" else loop(job)
        ended = run(graph, job, {"value": payload(0, job.size)})
        assert number_of(ended["value"]) == job.steps

    resumed = Resumed()
    if job.work == "suspend":
        run(gated(resumed), job, {"value": "value"})
    elif job.work == "resume":
        graph = gated(resumed)
        resumed.call()
        run(graph, job, Command(resume=True))
        resumed.report()
    else:
        measured(play, connection.close, job)


if __name__ == "__main__":
    main()
