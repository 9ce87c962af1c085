"""The process in which searches run: requests on stdin, what they come to on stdout, JSON line by line.

    python -m nprl.shields.synthesis.worker [--processor-time]

A search may call a solver that never returns, so whoever asks kills this process when the time is
over. Should the asker itself be gone, the system ends it: by a signal without a handler, which
needs no turn of the interpreter. With ``--processor-time`` all seconds are this process's own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

PROCESSOR_TIME = "--processor-time"
LATER = 2.0
"""Seconds after which the process ends itself, if the asker has not: it may hang."""


Say = Callable[[str, Any], None]
"""Sends one line: what it is, and its value."""


def main(*arguments: str) -> None:
    """Answer until the input ends."""
    processor = PROCESSOR_TIME in arguments
    if processor:
        time.monotonic = time.process_time  # before what asks it is imported
    from nprl.model import model_from_json
    from nprl.shields.synthesis.impossible.losing import impossible
    from nprl.shields.synthesis.portfolio import search

    def answer(asked: dict[str, Any], say: Say) -> Any:
        model, seconds = model_from_json(asked["model"]), asked["seconds"]
        if asked["task"] == "impossible":
            lost = impossible(model, seconds)
            return None if lost is None else lost.to_json()
        outcome = search(
            model,
            seconds,
            asked["seed"],
            lambda text: say("say", text),
            asked["unions"],
            asked["quick"],
            lambda one: say("tried", [one.family, one.method, one.seconds, one.reason]),
        )
        found = None if outcome.certificate is None else outcome.certificate.to_json()
        return [found, outcome.synthesis_s, outcome.unsuitable, outcome.advice]

    serve(answer, processor)


def serve(answer: Callable[[dict[str, Any], Say], Any], processor: bool = False) -> None:
    """Say that we are ready; then one answer for each request, within its time."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what solvers print is no answer

    def say(kind: str, value: Any) -> None:
        print(json.dumps([kind, value]), file=answers, flush=True)

    say("ready", True)
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        _watch(asked["wall"] + LATER, asked["limit"] if processor else 0.0)
        result = answer(asked, say)
        _watch(0.0, 0.0)
        say("done", result)


def _watch(wall: float, processor: float) -> None:
    """End this process after so long, or when the asker's end of the input closes; 0, 0: no longer.

    Where the system has no such signals the asker's own limit remains.
    """
    try:
        import fcntl
    except ImportError:
        return
    signal.setitimer(signal.ITIMER_REAL, wall)
    signal.setitimer(signal.ITIMER_PROF, processor)
    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    if wall:
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)
    else:
        fcntl.fcntl(0, fcntl.F_SETFL, flags & ~os.O_ASYNC)


if __name__ == "__main__":
    main(*sys.argv[1:])
