"""mini-swe-agent as shipped: its default agent, its local shell, a model that follows the script.

With a store of `saved` its trajectory is written after each step, as its command line does.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.test_models import DeterministicToolcallModel, make_toolcall_output
from minisweagent.models.utils.actions_toolcall import BASH_TOOL

from benchmarks.contestants import turns
from benchmarks.contestants.meter import Job, Meter, read_job

SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
CONFIG = yaml.safe_load(files("minisweagent").joinpath("config/mini.yaml").read_text("utf-8"))


class Scripted(DeterministicToolcallModel):
    """Its own scripted model, listening; messages are prepared as for the wire."""

    def __init__(self, prompts: turns.Prompts, **more: Any) -> None:
        super().__init__(**more)
        self._prompts = prompts

    def query(self, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        wire = [{k: v for k, v in message.items() if k != "extra"} for message in messages]
        self._prompts.arrive([BASH_TOOL], wire)
        return super().query(messages, **more)


def play(job: Job, prompts: turns.Prompts) -> None:
    commands = [turns.command(job, turn) for turn in range(1, job.steps + 1)] + [SUBMIT]
    outputs = [_says(number, text) for number, text in enumerate(commands, start=1)]
    model = Scripted(
        prompts, outputs=outputs, cost_per_call=0.0,
        observation_template=CONFIG["model"]["observation_template"],
    )  # fmt: skip
    settings = CONFIG["agent"]
    saved = Path(job.directory, f"{job.name}.json") if job.store == "saved" else None
    agent = DefaultAgent(
        model, LocalEnvironment(cwd=job.directory),
        system_template=settings["system_template"],
        instance_template=settings["instance_template"],
        cost_limit=0, step_limit=0, output_path=saved,
    )  # fmt: skip
    ended = agent.run(turns.TASK)
    assert ended["exit_status"] == "Submitted", ended


def _says(number: int, command: str) -> dict[str, Any]:
    call = {
        "id": f"call-{number}",
        "type": "function",
        "function": {"name": "bash", "arguments": json.dumps({"command": command})},
    }
    actions = [{"command": command, "tool_call_id": f"call-{number}"}]
    return make_toolcall_output(turns.THOUGHTS, [call], actions)


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
