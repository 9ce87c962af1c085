"""Rollouts in machine code: the C of a loop around generated statements, as an extension module.

Its functions: ``run(x, u or None, first)`` is None or (policy, last, bytes of the states and the
actions), ``reach(states, lengths)`` fills an int32 array with the lengths of plans, -1 for none.
`nprl.shields.rollout` says what they mean, has the same in Python, and compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nprl.lang.c import PRELUDE, literal, statements
from nprl.lang.native import MODULE, READING, build, compiler
from nprl.lang.terms import Formula, Term
from nprl.shields.tube import Tube


@dataclass(frozen=True, slots=True)
class Code:
    """The terms of one certificate's rollouts."""

    states: tuple[str, ...]
    actions: tuple[str, ...]
    margins: tuple[str, ...]
    step: tuple[Term, ...]
    """The nominal next state, over states and actions."""
    policies: tuple[tuple[Term, ...], ...]
    """The actions that are applied, over the states."""
    truths: tuple[Formula, ...]
    """Over states and margins: what S asks; and of each part of I, its rows that are not affine."""
    bounds: Mapping[str, tuple[float, float]]


TEXT = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
%(prelude)s
%(reading)s
enum { D = %(states)d, A = %(actions)d, M = %(margins)d, POLICIES = %(policies)d, PARTS = %(parts)d,
       ROWS = %(rows)d, STEPS = %(steps)d };
static const double ends[][2] = {%(ends)s};
static const int begins[] = {%(begins)s};
static int likely[PARTS]; /* the row of each part that failed last */
static double low[STEPS + 1][D], high[STEPS + 1][D], affine[ROWS + 1][D + 1];
static double row_margins[STEPS + 1][ROWS + 1], margins[STEPS + 1][M + 1];
static double y[STEPS + 1][D], u[STEPS + 1][A + 1];

static inline void step(const double *x, const double *v, double *next)
{
%(step)s
}

static inline void policy(int which, const double *x, double *v)
{
    switch (which) {
%(policy)s
    }
}

static inline int truth(int which, const double *x, const double *m)
{
    switch (which) {
%(truth)s
    }
    return 0;
}

static inline int reaches(int row, int k, const double *x)
{
    double total = affine[row][0];
    for (int i = 0; i < D; i++) total += affine[row][i + 1] * x[i];
    return total >= row_margins[k][row];
}

static int allowed(int k, const double *x)
{
    for (int i = 0; i < D; i++)
        if (!(x[i] >= low[k][i] && x[i] <= high[k][i])) return 0;
    return truth(0, x, margins[k]);
}

static int inside(int part, int k, const double *x)
{
    if (begins[part] < begins[part + 1] && !reaches(likely[part], k, x)) return 0;
    for (int row = begins[part]; row < begins[part + 1]; row++)
        if (!reaches(row, k, x)) { likely[part] = row; return 0; }
    return truth(1 + part, x, margins[k]);
}

/* From y[k]: the number of the state that is in I, or -1. */
static int roll(int which, int k)
{
    for (;; k++) {
        if (!allowed(k, y[k])) return -1;
        for (int part = 0; part < PARTS; part++)
            if (inside(part, k, y[k])) return k;
        if (k == STEPS) return -1;
        policy(which, y[k], u[k]);
        step(y[k], u[k], y[k + 1]);
    }
}

static int within(const double *from, int first, int n)
{
    for (int i = 0; i < n; i++)
        if (!(from[i] >= ends[first + i][0] && from[i] <= ends[first + i][1])) return 0;
    return 1;
}

static PyObject *run(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    double x[D], given[A + 1];
    if (count != 3) { PyErr_SetString(PyExc_TypeError, "run(x, u, first)"); return NULL; }
    if (read_numbers(args[0], x, D)) return NULL;
    int start = args[1] != Py_None;
    if (start && read_numbers(args[1], given, A)) return NULL;
    long first = PyLong_AsLong(args[2]);
    if (first == -1 && PyErr_Occurred()) return NULL;
    if (!within(x, 0, D) || (start && !within(given, D, A))) Py_RETURN_NONE;
    if (start) step(x, given, y[1]); else memcpy(y[0], x, sizeof x);
    for (int n = 0; n < POLICIES; n++) {
        int which = (int)((first + n) %% POLICIES), last = roll(which, start);
        if (last < 0) continue;
        Py_ssize_t moves = last - start, states = sizeof(double) * D * (moves + 1);
        PyObject *data = PyBytes_FromStringAndSize(NULL, states + sizeof(double) * A * moves);
        if (!data) return NULL;
        char *to = PyBytes_AS_STRING(data);
        memcpy(to, y[start], states);
        for (int k = start; k < last; k++, states += sizeof(double) * A)
            memcpy(to + states, u[k], sizeof(double) * A);
        return Py_BuildValue("iiN", which, last, data);
    }
    Py_RETURN_NONE;
}

static PyObject *reach(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer from, to;
    if (count != 2) { PyErr_SetString(PyExc_TypeError, "reach(states, lengths)"); return NULL; }
    if (PyObject_GetBuffer(args[0], &from, PyBUF_C_CONTIGUOUS)) return NULL;
    if (PyObject_GetBuffer(args[1], &to, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) {
        PyBuffer_Release(&from);
        return NULL;
    }
    Py_ssize_t n = to.len / (Py_ssize_t)sizeof(int32_t);
    int fits = from.len == n * D * (Py_ssize_t)sizeof(double);
    for (Py_ssize_t i = 0; fits && i < n; i++) {
        const double *x = (const double *)from.buf + i * D;
        int last = -1;
        if (within(x, 0, D)) {
            memcpy(y[0], x, sizeof y[0]);
            for (int which = 0; which < POLICIES && last < 0; which++) last = roll(which, 0);
        }
        ((int32_t *)to.buf)[i] = last;
    }
    PyBuffer_Release(&from);
    PyBuffer_Release(&to);
    if (!fits) { PyErr_SetString(PyExc_ValueError, "states are (n, d), lengths (n,)"); return NULL; }
    Py_RETURN_NONE;
}

static PyObject *setup(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    void *tables[] = {low, high, affine, row_margins, margins};
    Py_ssize_t sizes[] = {sizeof low, sizeof high, sizeof affine, sizeof row_margins, sizeof margins};
    if (count != 5) { PyErr_SetString(PyExc_TypeError, "five tables"); return NULL; }
    for (int i = 0; i < 5; i++) {
        if (!PyBytes_Check(args[i]) || PyBytes_GET_SIZE(args[i]) != sizes[i]) {
            PyErr_SetString(PyExc_ValueError, "a table of another size");
            return NULL;
        }
        memcpy(tables[i], PyBytes_AS_STRING(args[i]), sizes[i]);
    }
    for (int part = 0; part < PARTS; part++) likely[part] = begins[part];
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL, NULL},
    {"reach", (PyCFunction)(void (*)(void))reach, METH_FASTCALL, NULL},
    {"setup", (PyCFunction)(void (*)(void))setup, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "%(module)s", NULL, 0, methods};
PyMODINIT_FUNC PyInit_%(module)s(void) { return PyModuleDef_Init(&definition); }
"""


def native_rollouts(code: Code, tube: Tube, box: Sequence[tuple[float, float]]) -> Any:
    """The extension module, ready; None where nothing can be compiled."""
    command = compiler()
    module = None if command is None else build(command, source(code, tube, box))
    if module is not None:
        affine = np.concatenate([p.affine for p in tube.parts])
        rows = np.concatenate([p.margins for p in tube.parts], axis=1)
        tables = (
            tube.low,
            tube.high,
            np.pad(affine, ((0, 1), (0, 0))),
            np.pad(rows, ((0, 0), (0, 1))),
            np.pad(tube.margins, ((0, 0), (0, 1))),
        )
        module.setup(*(np.ascontiguousarray(t, dtype=np.float64).tobytes() for t in tables))
    return module


def source(code: Code, tube: Tube, box: Sequence[tuple[float, float]]) -> str:
    """The extension module's text."""
    names = {n: f"x[{i}]" for i, n in enumerate(code.states)}
    moved = names | {n: f"v[{j}]" for j, n in enumerate(code.actions)}
    tested = names | {n: f"m[{k}]" for k, n in enumerate(code.margins)}
    begins = np.cumsum([0, *(len(p.affine) for p in tube.parts)]).tolist()
    lines, results = statements(code.step, moved, code.bounds)
    policies, truths = [], []
    for p, terms in enumerate(code.policies):
        body, values = statements(terms, names, code.bounds)
        body += [f"v[{j}] = {value};" for j, value in enumerate(values)]
        policies.append(f"case {p}: {{ {' '.join(body)} break; }}")
    for k, formula in enumerate(code.truths):
        body, (value,) = statements([formula], tested, code.bounds)
        truths.append(f"case {k}: {{ {' '.join(body)} return {value}; }}")
    return TEXT % {
        "prelude": PRELUDE, "reading": READING, "module": MODULE,
        "states": len(code.states), "actions": len(code.actions), "margins": len(code.margins),
        "policies": len(code.policies), "parts": len(tube.parts), "rows": begins[-1],
        "steps": tube.steps, "begins": ", ".join(map(str, begins)),
        "ends": ", ".join(f"{{{literal(a)}, {literal(b)}}}" for a, b in box),
        "step": "\n".join(lines + [f"next[{i}] = {r};" for i, r in enumerate(results)]),
        "policy": "\n".join(policies), "truth": "\n".join(truths),
    }  # fmt: skip
