"""The C meaning as functions of this process: compiled when asked for, where a compiler is there.

Generated C (`nprl.lang.c`) is wrapped as an extension module of CPython, compiled by ``cc`` (or what
the variable CC names) into a temporary folder, and compared with the generated Python on points of
its bounds, bit for bit. Where anything of that fails there is None, and the caller goes on with
generated Python and NumPy: slower, and nothing else. NPRL_NATIVE=0 says not to try. Code at run
time is thus made from the terms alone, and kept nowhere.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import random
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nprl.lang.c import FLAGS, PRELUDE, statements
from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.terms import Formula, Term
from nprl.lang.writer import MAX, Bounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Batch = Callable[..., "tuple[NDArray[np.float64], NDArray[np.bool_]]"]

MODULE = "nprl_native"
POINTS = 50
"""At how many points the compiled code is compared with the generated Python."""
LIMIT_S = 60
READING = r"""
/* The numbers of a sequence of n, or -1 and an exception. */
static int read_numbers(PyObject *from, double *to, Py_ssize_t n)
{
    PyObject *fast = PySequence_Fast(from, "a group of inputs is a sequence");
    if (!fast) return -1;
    if (PySequence_Fast_GET_SIZE(fast) != n) {
        PyErr_Format(PyExc_ValueError, "a group has %zd inputs; got %zd", n,
                     PySequence_Fast_GET_SIZE(fast));
        Py_DECREF(fast);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        to[i] = PyFloat_AsDouble(PySequence_Fast_GET_ITEM(fast, i));
        if (to[i] == -1.0 && PyErr_Occurred()) { Py_DECREF(fast); return -1; }
    }
    Py_DECREF(fast);
    return 0;
}
"""
WRAPPER = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
%(prelude)s
%(reading)s
static const int sizes[] = {%(sizes)s 0};
enum { GROUPS = %(groups)d, INPUTS = %(inputs)d, VALUES = %(values)d, TRUTHS = %(truths)d };

static void compute(const double *a, double *values, char *truths)
{
%(body)s
}

static PyObject *numbers_of(const double *from, Py_ssize_t n)
{
    PyObject *result = PyTuple_New(n);
    for (Py_ssize_t i = 0; result && i < n; i++) {
        PyObject *value = PyFloat_FromDouble(from[i]);
        if (!value) { Py_DECREF(result); return NULL; }
        PyTuple_SET_ITEM(result, i, value);
    }
    return result;
}

static int read_groups(PyObject *const *args, Py_ssize_t count, double *a)
{
    if (count != GROUPS) { PyErr_SetString(PyExc_TypeError, "one argument per group"); return -1; }
    for (Py_ssize_t g = 0; g < GROUPS; a += sizes[g++])
        if (read_numbers(args[g], a, sizes[g])) return -1;
    return 0;
}

/* The value of each term, as floats: a formula is 1.0 or 0.0. */
static PyObject *one(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    double a[INPUTS + 1], out[VALUES + TRUTHS + 1];
    char truths[TRUTHS + 1];
    if (read_groups(args, count, a)) return NULL;
    compute(a, out, truths);
    for (int i = 0; i < TRUTHS; i++) out[VALUES + i] = truths[i];
    return numbers_of(out, VALUES + TRUTHS);
}

/* The inputs as tuples of floats where the first formula holds, else None. */
static PyObject *guard(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    double a[INPUTS + 1], values[VALUES + 1], *from = a;
    char truths[TRUTHS + 1];
    if (read_groups(args, count, a)) return NULL;
    compute(a, values, truths);
    if (!truths[0]) Py_RETURN_NONE;
    PyObject *result = PyTuple_New(GROUPS);
    for (Py_ssize_t g = 0; result && g < GROUPS; from += sizes[g++]) {
        PyObject *group = numbers_of(from, sizes[g]);
        if (!group) { Py_DECREF(result); return NULL; }
        PyTuple_SET_ITEM(result, g, group);
    }
    return result;
}

/* values (VALUES, n) and truths (TRUTHS, n), C-ordered, from arrays (n, size), float64. */
static PyObject *batch(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer in[GROUPS], values, truths;
    Py_ssize_t open = 0, n = 0;
    PyObject *result = NULL;
    if (count != GROUPS + 2) { PyErr_SetString(PyExc_TypeError, "one array per group"); return NULL; }
    if (PyObject_GetBuffer(args[0], &values, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) return NULL;
    if (PyObject_GetBuffer(args[1], &truths, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) goto no_truths;
    for (; open < GROUPS; open++) {
        Py_buffer *b = &in[open];
        if (PyObject_GetBuffer(args[2 + open], b, PyBUF_STRIDES | PyBUF_FORMAT)) goto done;
        n = open ? n : b->shape[0];
        if (b->ndim != 2 || b->itemsize != sizeof(double) || b->format[0] != 'd' || b->format[1]
            || b->shape[0] != n || b->shape[1] != sizes[open]) {
            open++;
            PyErr_SetString(PyExc_ValueError, "arrays are float64, of one length, a column per input");
            goto done;
        }
    }
    if (values.len != (Py_ssize_t)sizeof(double) * VALUES * n || truths.len != TRUTHS * n) {
        PyErr_SetString(PyExc_ValueError, "the results have another length");
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        double a[INPUTS + 1], value[VALUES + 1];
        char truth[TRUTHS + 1];
        for (int g = 0, k = 0; g < GROUPS; g++) {
            const char *row = (const char *)in[g].buf + i * in[g].strides[0];
            for (int c = 0; c < sizes[g]; c++) a[k++] = *(const double *)(row + c * in[g].strides[1]);
        }
        compute(a, value, truth);
        for (int k = 0; k < VALUES; k++) ((double *)values.buf)[k * n + i] = value[k];
        for (int k = 0; k < TRUTHS; k++) ((char *)truths.buf)[k * n + i] = truth[k];
    }
    Py_INCREF(Py_None);
    result = Py_None;
done:
    while (open) PyBuffer_Release(&in[--open]);
    PyBuffer_Release(&truths);
no_truths:
    PyBuffer_Release(&values);
    return result;
}

static PyMethodDef methods[] = {
    {"one", (PyCFunction)(void (*)(void))one, METH_FASTCALL, NULL},
    {"guard", (PyCFunction)(void (*)(void))guard, METH_FASTCALL, NULL},
    {"batch", (PyCFunction)(void (*)(void))batch, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "nprl_native", NULL, 0, methods};
PyMODINIT_FUNC PyInit_nprl_native(void) { return PyModuleDef_Init(&definition); }
"""


def batch_tables(
    terms: Sequence[Term],
    formulas: Sequence[Formula],
    groups: Sequence[Sequence[str]],
    bounds: Bounds | None = None,
    native: bool = True,
) -> Batch:
    """A function of one float64 array (n, len(group)) per group, as `nprl.lang.floats` has them.

    It returns new arrays: of the terms (len(terms), n), float64, and of the formulas, bool. In
    machine code where that can be and ``native`` asks for it, else in generated NumPy.
    """
    found = native_batch(terms, formulas, groups, bounds) if native else None
    if found is not None:
        return found
    import numpy as np

    run, rows = compile_batch([*terms, *formulas], groups, bounds), len(terms)

    def batch(*arrays: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        columns, n = run(*arrays), len(arrays[0])
        values = np.array(columns[:rows], dtype=np.float64).reshape(rows, n)
        return values, np.array(columns[rows:], dtype=np.bool_).reshape(len(formulas), n)

    return batch


def native_batch(
    terms: Sequence[Term],
    formulas: Sequence[Formula],
    groups: Sequence[Sequence[str]],
    bounds: Bounds | None = None,
) -> Batch | None:
    """`batch_tables` in machine code; there is no function, but None, where nothing can be compiled."""
    import numpy as np

    module = _compiled((*terms, *formulas), tuple(map(tuple, groups)), _frozen(bounds))
    if module is None:
        return None
    run, empty, asarray = module.batch, np.empty, np.asarray
    rows, truth_rows, float64, bool_ = len(terms), len(formulas), np.float64, np.bool_

    def batch(*arrays: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        arrays = tuple([asarray(a, float64) for a in arrays])
        n = len(arrays[0])
        values, truths = empty((rows, n)), empty((truth_rows, n), bool_)
        run(values, truths, *arrays)
        return values, truths

    return batch


def native_scalar(
    terms: Sequence[Term | Formula], groups: Sequence[Sequence[str]], bounds: Bounds | None = None
) -> Callable[..., tuple[float, ...]] | None:
    """As `nprl.lang.floats.compile_scalar`, in machine code; a formula's value is 1.0 or 0.0.

    Terms come before formulas. There is no function, but None, where nothing can be compiled.
    """
    module = _compiled(tuple(terms), tuple(map(tuple, groups)), _frozen(bounds))
    return None if module is None else module.one


def native_guard(
    test: Formula, groups: Sequence[Sequence[str]], bounds: Bounds | None = None
) -> Callable[..., tuple[tuple[float, ...], ...] | None] | None:
    """A function of one sequence per group: these as tuples of floats where ``test`` holds.

    Else it returns None. There is no function, but None, where nothing can be compiled.
    """
    module = _compiled((test,), tuple(map(tuple, groups)), _frozen(bounds))
    return None if module is None else module.guard


def _frozen(bounds: Bounds | None) -> tuple[tuple[str, tuple[float, float]], ...] | None:
    return None if bounds is None else tuple(bounds.items())


@lru_cache(256)
def _compiled(
    terms: tuple[Term | Formula, ...],
    groups: tuple[tuple[str, ...], ...],
    bounds: tuple[tuple[str, tuple[float, float]], ...] | None,
) -> Any:
    """The extension module of terms, and formulas after them; or None."""
    command = compiler()
    if command is None:
        return None
    names = [name for group in groups for name in group]
    box = dict.fromkeys(names, (-MAX, MAX)) if bounds is None else dict(bounds)
    python = compile_scalar(terms, groups, box)
    module = build(command, source(terms, groups, box))
    return module if module is not None and _agree(module, python, groups, box) else None


def source(terms: Sequence[Term | Formula], groups: Sequence[Sequence[str]], bounds: Bounds) -> str:
    """The extension module's text; formulas come after the terms."""
    names = [name for group in groups for name in group]
    lines, results = statements(terms, {n: f"a[{k}]" for k, n in enumerate(names)}, bounds)
    values = sum(isinstance(t, Term) for t in terms)
    for k, result in enumerate(results):
        place = f"values[{k}]" if k < values else f"truths[{k - values}]"
        lines.append(f"{place} = {result};")
    return WRAPPER % {
        "prelude": PRELUDE, "reading": READING, "body": "\n".join("    " + line for line in lines),
        "sizes": "".join(f"{len(g)}, " for g in groups), "groups": len(groups),
        "inputs": len(names), "values": values, "truths": len(terms) - values,
    }  # fmt: skip


@cache
def compiler() -> tuple[str, ...] | None:
    """The command that compiles C here; None where there is none, or NPRL_NATIVE is 0."""
    if os.environ.get("NPRL_NATIVE") == "0":
        return None
    headers = sysconfig.get_paths()["include"]
    command = shlex.split(os.environ.get("CC", "cc"))
    if not command or shutil.which(command[0]) is None or not Path(headers, "Python.h").exists():
        return None
    link = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    return (*command, *FLAGS, "-w", "-shared", "-fPIC", *link, f"-I{headers}")


def build(command: tuple[str, ...], text: str) -> Any:
    """The extension module `MODULE` of a C text, compiled by `compiler`'s command; or None."""
    with tempfile.TemporaryDirectory(prefix="nprl") as folder:
        path = Path(folder, f"{MODULE}.c")
        library = path.with_suffix(".so")
        path.write_text(text)
        try:
            subprocess.run(
                [*command, str(path), "-o", str(library), "-lm"],
                check=True, capture_output=True, timeout=LIMIT_S,
            )  # fmt: skip
            loader = importlib.machinery.ExtensionFileLoader(MODULE, str(library))
            spec = importlib.util.spec_from_loader(MODULE, loader)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
        except (OSError, subprocess.SubprocessError, ImportError):
            return None
        return module


def _agree(
    module: Any,
    python: Callable[..., tuple[Any, ...]],
    groups: Sequence[Sequence[str]],
    box: Bounds,
) -> bool:
    """Whether both give the same numbers, to the last bit, at random points of the box."""
    rng = random.Random(0)
    for k in range(POINTS):
        at = [[_point(rng, *box[name], near=k % 2 == 0) for name in group] for group in groups]
        expected = python(*at)
        if module.one(*at) != tuple(map(float, expected)):
            return False
    return True


def _point(rng: random.Random, low: float, high: float, near: bool) -> float:
    """Anywhere in the interval, or near zero, where wide intervals have what matters."""
    r = rng.random()
    return min(max(rng.gauss(0, 1), low), high) if near else (1 - r) * low + r * high
