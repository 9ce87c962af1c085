"""Whole episodes in machine code where MuJoCo steps: its own library, called between our terms.

A compiled episode (`nprl.distill.machine`) calls the functions that the Python package has loaded,
on an ``mjData`` of its thread: the same physics to the last bit. What is around them is a
`Simulated` twin. Before it is used, its first steps are compared with the environment's; where they
differ, or nothing can be compiled, there is no machine and the environments are played.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cache, lru_cache
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from nprl.distill.machine import Floats, built, coded
from nprl.env.task import Task
from nprl.envs.mujoco_twins import Simulated, place
from nprl.lang.floats import compile_scalar
from nprl.lang.native import compiler
from nprl.lang.terms import Clip, Num, Term, Var
from nprl.memory import Register
from nprl.search.constants import decimal, linear

FUNCTIONS = ("mj_resetData", "mj_forward", "mj_step", "mj_rnePostConstraint")
FORCES = {"cacc", "cfrc_int", "cfrc_ext"}
"""Fields that the last of these computes."""
KEPT = ("ctrl", "qpos", "qvel")
WORLD = """
enum { RESET, FORWARD, STEP, FORCES, MODEL, DATA, CTRL, QPOS, QVEL, FIELDS };
typedef void act(const void *model, void *data);
#define DO(name) ((act *)world[name])(world[MODEL], world[DATA])
#define FIELD(k) ((const double *)world[FIELDS + (k)])
static void look(void *const *world, double *x)
{
%(look)s
}
"""
BEGIN = """    DO(RESET);
    for (int i = 0; i < %(nq)d; i++) ((double *)world[QPOS])[i] = start[i];
    for (int i = 0; i < %(nv)d; i++) ((double *)world[QVEL])[i] = start[%(nq)d + i];
    DO(FORWARD);
    look(world, x);"""
STEPS = """    for (int j = 0; j < ACTIONS; j++) ((double *)world[CTRL])[j] = u[j];
    for (int k = 0; k < %(frames)d; k++) DO(STEP);
    if (%(forces)d) DO(FORCES);
    look(world, next);"""
CHECKED = 20
"""Steps that are compared before a machine is used."""
Play = tuple[Sequence[Term], Sequence[str], Floats, Sequence[Register]]
"""A program's terms, the names of its inputs, the settings (s, h) of its holes, its registers."""


class SimulatedMachine:
    """Episodes of one environment of MuJoCo, from the starts of some seeds, over some threads."""

    def __init__(
        self, twin: Simulated, module: Any, seeds: Sequence[int], horizon: int, jobs: int
    ) -> None:
        """Draw the starts, and make what each thread works on."""
        self._twin, self._module, self._horizon, self._jobs = twin, module, horizon, jobs
        self._starts = _starts(twin, seeds)
        self._worlds: SimpleQueue[tuple[NDArray[np.uintp], Any]] = SimpleQueue()
        for _ in range(jobs):
            self._worlds.put(_world(twin))

    def seeded(self, seeds: Sequence[int]) -> SimulatedMachine:
        """The same from other seeds, on the same ``mjData``."""
        other = copy(self)
        other._starts = _starts(self._twin, seeds)
        return other

    def play(
        self,
        terms: Sequence[Term],
        names: Sequence[str],
        holes: Floats,
        registers: Sequence[Register] = (),
    ) -> tuple[Floats, NDArray[np.int64]]:
        """As `nprl.distill.machine.Machine.play`."""
        return self.play_all([(terms, names, holes, registers)])[0]

    def play_all(self, plays: Sequence[Play]) -> list[tuple[Floats, NDArray[np.int64]]]:
        """`play` for each; the results do not depend on the number of threads.

        Raises:
            ValueError: as `nprl.distill.machine.Code`.
        """
        codes = [coded(*play) for play in plays]
        n, rows = len(self._starts), sum(len(table) for _, table in codes)
        results = [
            (np.empty((len(table), n)), np.empty((len(table), n), dtype=np.int64))
            for _, table in codes
        ]
        parts = 1 if rows >= 4 * self._jobs else min(n, 4 * self._jobs)
        ends = [round(k * n / parts) for k in range(parts + 1)]

        def run(piece: tuple[int, int, int, int]) -> None:
            p, row, first, last = piece
            (code, table), (returns, lengths) = codes[p], results[p]
            world, data = self._worlds.get()
            try:
                self._module.play(
                    code, table[row : row + 1], self._starts[first:last], np.empty((0, 0)), world,
                    self._horizon, returns[row, first:last], lengths[row, first:last],
                )  # fmt: skip
            finally:
                self._worlds.put((world, data))

        pieces = [
            (p, row, first, last)
            for p, (_, table) in enumerate(codes)
            for row in range(len(table))
            for first, last in pairwise(ends)
        ]
        if self._jobs == 1:
            list(map(run, pieces))
        else:
            with ThreadPoolExecutor(self._jobs) as threads:
                list(threads.map(run, pieces))
        return results


def simulated_machine(task: Task, seeds: Sequence[int], jobs: int) -> SimulatedMachine | None:
    """The machine of a task that MuJoCo simulates; None for others, or where none can be made."""
    twin = task.simulated()
    if twin is None or compiler() is None:
        return None
    module = _module(twin)
    return None if module is None else SimulatedMachine(twin, module, seeds, task.horizon, jobs)


@lru_cache(32)
def _module(twin: Simulated) -> Any:
    """The compiled episodes; None where they differ from the environment's."""
    if _library() is None or mujoco.MjData(twin.model).qpos.dtype != np.float64:
        return None
    model, fields = twin.model, [place(name) for name in twin.state_names]
    arrays = {field: k for k, field in enumerate(_fields(twin))}
    lines = [f"    x[{i}] = FIELD({arrays[f]})[{k}];" for i, (f, k) in enumerate(fields)]
    sizes = {"nq": model.nq, "nv": model.nv, "frames": twin.frame_skip}
    sizes["forces"] = not FORCES.isdisjoint(arrays)
    physics = {
        "world": WORLD % {"look": "\n".join(lines)},
        "begin": BEGIN % sizes,
        "step": STEPS % sizes,
    }
    module = built(twin, physics)
    return module if module is not None and _agrees(twin, module) else None


@cache
def _library() -> Any:
    """MuJoCo's C library, as this process has loaded it; None where it cannot be reached."""
    try:
        library = ctypes.CDLL(mujoco._functions.__file__)
        return library if all(hasattr(library, name) for name in FUNCTIONS) else None
    except OSError:
        return None


def _starts(twin: Simulated, seeds: Sequence[int]) -> Floats:
    return np.asarray([[*q, *v] for q, v in map(twin.start, seeds)])


def _fields(twin: Simulated) -> list[str]:
    """The arrays of ``mjData`` that the twin reads."""
    return sorted({place(name)[0] for name in twin.state_names})


def _world(twin: Simulated) -> tuple[NDArray[np.uintp], Any]:
    """The addresses of functions, model, data and arrays; and the data, which is to be kept."""
    data, library = mujoco.MjData(twin.model), _library()
    functions = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in FUNCTIONS]
    arrays = [getattr(data, field).ctypes.data for field in (*KEPT, *_fields(twin))]
    world = [*functions, twin.model._address, data._address, *arrays]
    return np.asarray(world, dtype=np.uintp), data


def _agrees(twin: Simulated, module: Any) -> bool:
    """Whether a program's first steps return what they do in the environment."""
    names, rng = [o.name for o in twin.observation], np.random.default_rng(0)
    terms: list[Term] = [
        linear([decimal(v, 3) for v in rng.normal(size=len(names))], [*map(Var, names)])
        for _ in twin.action
    ]
    machine = SimulatedMachine(twin, module, [0], CHECKED, 1)
    returns, lengths = machine.play(terms, names, np.empty((1, 0)))
    act = compile_scalar(
        [Clip(t, Num(c.low), Num(c.high)) for t, c in zip(terms, twin.action, strict=True)], [names]
    )
    obs, total, steps, ended = twin.env.reset(seed=0)[0], 0.0, 0, False
    while steps < CHECKED and not ended:
        obs, reward, ended, _, _ = twin.env.step(np.asarray(act(obs.tolist())))
        total, steps = total + float(reward), steps + 1
    return steps == lengths[0, 0] and math.isclose(total, returns[0, 0], rel_tol=1e-9)
