"""One contender in a process of its own: ``... -m experiments.speed.worker MODULE:FUNCTION CORES``.

Reads numbers of calls from standard input, a line each, and answers each with a line of JSON.
"""

import importlib
import json
import os
import sys
import time
import warnings


def main(task_name: str, cores: str) -> int:
    """Make the task, say so, then time it as often as asked.

    Args:
      task_name: ``module:function``.
      cores: Numbers of the cores to stay on, with commas; empty: any.

    Returns:
      The exit code.
    """
    if cores:
        os.sched_setaffinity(0, map(int, cores.split(",")))
    # What libraries print must not be taken for an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**content: object) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    warnings.simplefilter("ignore")
    module, function = task_name.split(":")
    try:
        task = getattr(importlib.import_module(module), function)()
    except ImportError as error:
        answer(missing=str(error).splitlines()[0])
        return 0
    task.call()
    started = time.perf_counter()
    cost = task.call()
    answer(check=task.check, seconds=time.perf_counter() - started, measured=cost is not None)
    for line in sys.stdin:
        calls = int(line)
        wall, processor = time.perf_counter(), time.process_time()
        costs = [task.call() for _ in range(calls)]
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        given = [cost for cost in costs if cost is not None]
        if given:
            wall = processor = sum(given)
        share = calls * task.units
        answer(wall=wall / share, processor=processor / share)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
