"""LangGraph's ready-made agent; its SQLite checkpointer saves every superstep before the next.

With a store of `memory` nothing is saved.
"""

import json
import sqlite3
import subprocess
import warnings
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.contestants import turns
from benchmarks.contestants.meter import Job, Meter, read_job

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from langgraph.prebuilt import create_react_agent

PROMPT = "You are a coding agent. Use the tool `bash` to look at and change the repository."


class Scripted(BaseChatModel):
    """A chat model that follows the script."""

    job: Any
    prompts: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **more: Any) -> "Scripted":
        return self

    def _generate(self, messages: list[BaseMessage], *rest: Any, **more: Any) -> ChatResult:
        if self.prompts.keep:
            self.prompts.arrive([], convert_to_openai_messages(messages))
        else:
            self.prompts.arrive([], messages)
        turn = sum(isinstance(message, AIMessage) for message in messages) + 1
        if turn > self.job.steps:
            said = AIMessage("done")
        else:
            arguments = {"command": turns.command(self.job, turn)}
            calls = [{"name": "bash", "args": arguments, "id": f"call-{turn}"}]
            said = AIMessage(turns.THOUGHTS, tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=said)])


def play(job: Job, prompts: turns.Prompts) -> None:
    @tool
    def bash(command: str) -> str:
        """Run a command in the repository."""
        done = subprocess.run(
            command, shell=True, cwd=job.directory, capture_output=True, text=True, check=False
        )
        return f"exit {done.returncode}\n{done.stdout}{done.stderr}"

    connection = None
    saver = None
    if job.store != "memory":
        file = Path(job.directory, f"{job.name}.db")
        connection = sqlite3.connect(file, check_same_thread=False)
        saver = SqliteSaver(connection)
        saver.setup()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agent = create_react_agent(
            Scripted(job=job, prompts=prompts), [bash], prompt=PROMPT, checkpointer=saver
        )
    config = {"configurable": {"thread_id": job.name}, "recursion_limit": 3 * job.steps + 10}
    more = {"durability": "sync"} if saver else {}
    ended = agent.invoke({"messages": [("user", turns.TASK)]}, config, **more)
    assert ended["messages"][-1].content == "done"
    if connection:
        connection.close()


def main() -> None:
    job = read_job()
    turns.prepare(job)
    if job.work == "context":
        prompts = turns.Prompts()
        play(job, prompts)
        print(json.dumps(prompts.figures()))
        return
    play(job.warm_up(), turns.Prompts(keep=False))
    prompts, meter = turns.Prompts(keep=False), Meter()
    meter.begin()
    play(job, prompts)
    meter.end()
    meter.report(**turns.curve(prompts.firsts))


if __name__ == "__main__":
    main()
