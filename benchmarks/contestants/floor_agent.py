"""The least that an agent's turn can cost: a loop, a shell, a list of messages. Saves nothing.

With a store of `saved` each turn is appended to a file and synced to the disk.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.contestants import turns
from benchmarks.contestants.meter import Job, Meter, read_job


def play(job: Job, prompts: turns.Prompts) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": turns.TASK}]
    file = os.open(Path(job.directory, f"{job.name}.log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for turn in range(1, job.steps + 1):
        prompts.arrive([], messages)
        command = turns.command(job, turn)
        done = subprocess.run(
            command, shell=True, cwd=job.directory, capture_output=True, text=True, check=False
        )
        said = {"role": "assistant", "content": f"{turns.THOUGHTS}\n{command}"}
        answer = f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        messages += [said, {"role": "user", "content": answer}]
        if job.store == "saved":
            os.write(file, json.dumps(messages[-2:]).encode())
            os.fsync(file)
    prompts.arrive([], messages)
    os.close(file)


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
