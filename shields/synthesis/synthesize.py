"""Synthesis with a hard limit: the search runs in a process of its own, which is killed when its time is over.

A proved shield, or a proof that there is none, comes back as data; what a killed search had tried
until then is kept. The process is used again by the next search; it ends with ours.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nprl.model import Model
from nprl.shields.certificate import certificate_from_json
from nprl.shields.falsify import falsify
from nprl.shields.load import claim_from_json
from nprl.shields.losing import Impossible
from nprl.shields.process import LineProcess
from nprl.shields.synthesis.outcome import Attempt, Outcome

WORKER = "nprl.shields.synthesis.worker"
GRACE = 1.5
"""Seconds more than its limit that a search may take before its process is killed."""
STARTING = 120.0
SLOW = 20.0
"""By processor time: how many times its limit a search may take by the wall."""
TIMERS = {int(getattr(signal, n)) for n in ("SIGALRM", "SIGPROF") if hasattr(signal, n)}
"""By which a worker ends itself."""
_idle: dict[tuple[int, str, bool], LineProcess] = {}
"""A process that waits for the next search, for each process that asks, and kind."""


class Stopped(Exception):
    """A search was ended from outside; says how."""


def synthesize(
    model: Model,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    unions: bool = False,
    quick: bool = True,
    processor_time: bool = False,
) -> Outcome:
    """A proved shield for ``model`` that holds its initial set: the first that can be proved.

    ``seconds`` limits the search for candidates and the proofs together, each method a share of it.
    The limit is hard: a search that does not end within it and ``GRACE`` is killed, solvers included,
    and the outcome has what was tried until then. (A process that runs searches is started at the
    first call; that takes some seconds more.) With ``processor_time`` seconds are the search's own,
    for a machine that others use too. What is found depends on the model, ``seed``, ``unions``, and
    where the time ends it. With ``unions``, for a safe set of several pieces a union of modes is
    tried before single ones. With ``quick`` a fifth of the time goes to a first round in which no
    proof may take long: the set that is found may then be smaller than the first could have been.

    Raises:
        ValueError: for a time that is not positive.
    """
    _positive(seconds)
    began = time.monotonic()
    run = falsify(model)
    if run is not None:
        return Outcome(None, (), time.monotonic() - began, counterexample=run)
    tried: list[Attempt] = []
    asked = {"task": "shield", "model": model.to_json(), "seconds": seconds}
    try:
        found, took, unsuitable, advice = _ask(
            asked | {"seed": seed, "unions": unions, "quick": quick},
            processor_time,
            progress or (lambda _: None),
            lambda one: tried.append(Attempt(*one)),
        )
    except Stopped as error:
        took = seconds if processor_time else time.monotonic() - began
        return Outcome(None, tuple(tried), took, stopped=str(error))
    certificate = None if found is None else certificate_from_json(found)
    return Outcome(certificate, tuple(tried), took, unsuitable, advice=advice)


def impossible(
    model: Model, seconds: float = 60.0, processor_time: bool = False
) -> Impossible | None:
    """A proof that nobody can keep ``model`` safe; None where none is found within a hard limit.

    Raises:
        ValueError: for a time that is not positive.
    """
    _positive(seconds)
    asked = {"task": "impossible", "model": model.to_json(), "seconds": seconds}
    try:
        found = _ask(asked, processor_time, lambda _: None, lambda _: None)
    except Stopped:
        return None
    claim = None if found is None else claim_from_json(found)
    assert claim is None or isinstance(claim, Impossible)
    return claim


def _positive(seconds: float) -> None:
    if not seconds > 0:
        raise ValueError(f"seconds is positive; got {seconds}")


def _ask(
    asked: dict[str, Any],
    processor_time: bool,
    say: Callable[[str], None],
    tell: Callable[[list[Any]], None],
) -> Any:
    """What a search comes to.

    Raises:
        Stopped: where it was killed, or its process ended without an answer.
    """
    key = (os.getpid(), WORKER, processor_time)
    worker, last, done = _worker(key), "", False
    limit = asked["seconds"] + GRACE
    wall = limit * (SLOW if processor_time else 1.0)
    try:
        with suppress(OSError):  # it is gone: that shows in the next line
            worker.write(json.dumps(asked | {"limit": limit, "wall": wall}) + "\n")
        end = time.monotonic() + wall
        while line := worker.line(end - time.monotonic()):
            kind, value = json.loads(line)
            if kind == "done":
                _idle[key], done = worker, True
                return value
            if kind == "say":
                last = str(value)
                say(last)
            elif kind == "tried":
                tell(value)
        raise Stopped(_how(worker, asked["seconds"], last))
    finally:
        if not done:
            worker.close()


def _how(worker: LineProcess, seconds: float, last: str) -> str:
    where = f"; it was last at: {last}" if last else ""
    status = worker.status()
    if status is None or -status in TIMERS:
        return (
            f"a step did not end within {seconds:g} s and was killed{where}; more seconds may help"
        )
    return f"the search's process ended with status {status} (a solver's crash?){where}"


def _worker(key: tuple[int, str, bool]) -> LineProcess:
    """The process that waits, or a new one that is ready.

    Raises:
        Stopped: where none starts.
    """
    known = _idle.pop(key, None)
    if known is not None:
        if known.status() is None:
            return known
        known.close()
    worker = LineProcess(key[1], *(["--processor-time"] if key[2] else []))
    try:
        ready = worker.line(STARTING)
    except BaseException:
        worker.close()
        raise
    if not ready:
        worker.close()
        raise Stopped(f"{key[1]} does not start")
    return worker


@atexit.register
def _close() -> None:
    for (pid, _, _), worker in list(_idle.items()):
        if pid == os.getpid():
            worker.close()
    _idle.clear()


__all__ = ["Attempt", "Outcome", "Stopped", "impossible", "synthesize"]
