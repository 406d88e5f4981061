"""SIGKILL at moments spread over each command; what is run next ends like the undisturbed command, bit for bit."""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from jobs import JOBS, leftovers, outcome
from process import run

DELAY = 0.3  # seconds, up to: half of the kills hit between two file operations


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_killed_commands_are_resumed(job, data, model, tmp_path, ledger):
    straight, operations = undisturbed(job, data, model, tmp_path)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        cases = [pool.submit(killed, job, data, model, tmp_path / str(i), i, operations) for i in range(job.kills)]
    kills, wrong = 0, []
    for number, case in enumerate(cases):
        moment, count, problem, found = case.result()
        kills += count
        if problem is None and found != straight:
            problem = f"other results: {sorted(p for p in {*straight, *found} if straight.get(p) != found.get(p))}"
        if problem is not None:
            wrong.append(f"{number}: killed at {moment}: {problem}")
    ledger.kills[job.name] = kills, kills - len(wrong), operations
    assert not wrong, "\n".join(wrong)
    assert kills >= job.kills


def undisturbed(job, data, model, folder):
    """(what the command leaves, how many file operations it takes)."""
    done = start(job, data, model, folder / "straight")
    assert done.status == 0 and done.operations > 10, done.output
    return outcome(job.result(folder / "straight")), done.operations


def killed(job, data, model, folder, number, operations):
    """(moment, kills, what went wrong or None, what is there in the end) of a case."""
    luck = random.Random(f"{job.name} {number}")
    at = 1 + int((number + luck.random()) / job.kills * operations)
    delay = DELAY * luck.random() if number % 2 else 0
    done = start(job, data, model, folder, at, delay)
    if done.status == 0:  # it ended sooner than the delay
        folder, delay = folder.with_name(f"{number}-again"), 0
        done = start(job, data, model, folder, at)
    moment = [f"operation {at} of {operations} + {delay:.3f} s"]
    kills = int(done.status == -9)
    if not kills:
        return moment, kills, f"status {done.status}: {done.output}", None
    if number % 3 == 0:  # and once more, while it is mended
        at = luck.randint(1, operations)
        done = run(job.again(folder, data, model), folder, at)
        moment.append(f"operation {at} of the next")
        kills += done.status == -9
    if done.status:
        done = run(job.again(folder, data, model), folder)
    if done.status and "is there already" not in done.output:  # killed when all was done
        return moment, kills, f"status {done.status}: {done.output}", None
    result = job.result(folder)
    left = leftovers(result)
    return moment, kills, f"left behind: {left}" if left else None, outcome(result)


def start(job, data, model, folder, kill_at=None, delay=0):
    folder.mkdir()
    job.prepare(folder, model)
    return run(job.command(data, model), folder, kill_at, delay)
