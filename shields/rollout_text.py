"""The C text of rollouts, an extension module with holes: `nprl.shields.rollout_c` fills them.

W rollouts go side by side, each in a *lane*: arrays hold the same coordinate of all lanes together,
so that the compiler makes vectors of the loops over lanes. A lane whose rollout has ended goes on
computing numbers that nobody reads. A row of I that a lane failed last is looked at first, against
the least of its margins over all steps: where it fails even that, the lane is not in I.
"""

TEXT = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
%(prelude)s
%(reading)s
#define ALWAYS static inline __attribute__((always_inline))
#define EACH_LANE(from, to) _Pragma("GCC unroll 1") for (int l = from; l < to; l++)
enum { W = %(lanes)d, D = %(states)d, A = %(actions)d, M = %(margins)d, POLICIES = %(policies)d,
       PARTS = %(parts)d, ROWS = %(rows)d, STEPS = %(steps)d, TESTED = %(tested)d };
typedef double lanes[W] __attribute__((aligned(8 * W))); /* a number of each lane */
typedef double numbers __attribute__((vector_size(8 * W), may_alias)); /* and as one */
typedef int64_t marks __attribute__((vector_size(8 * W), may_alias)); /* 0 for no, -1 for yes */
static const double ends[][2] = {%(ends)s};
static const int begins[] = {%(begins)s};
static int order[ROWS + 1]; /* of each part's rows: those that failed last come first */
static lanes worst_rows[PARTS][D + 2]; /* the row that failed last in the lane */
static double low[STEPS + 1][D], high[STEPS + 1][D], affine[ROWS + 1][D + 2];
static double row_margins[STEPS + 1][ROWS + 1], margins[STEPS + 1][M + 1];
static lanes y[STEPS + 1][D], u[STEPS + 1][A + 1];

static void step(const lanes *restrict x, const lanes *restrict v, lanes *restrict next)
{
    EACH_LANE(0, W) {
%(step)s
    }
}

/* The answer of one program in some lanes. */
ALWAYS void policy(int which, const lanes *restrict x, lanes *restrict v, int from, int to)
{
    switch (which) {
%(policy)s
    }
}

ALWAYS int truth(int which, const lanes *x, int l, const double *m)
{
    switch (which) {
%(truth)s
    }
    return 0;
}

static int reaches(int row, int k, const lanes *x, int l)
{
    double total = affine[row][0];
    for (int i = 0; i < D; i++) total += affine[row][i + 1] * x[i][l];
    return total >= row_margins[k][row];
}

/* In which lanes the state is within the bounds. */
ALWAYS marks bounded(int k, const numbers *x)
{
    marks good = (marks){0} == 0;
    for (int i = 0; i < D; i++) good &= (x[i] >= low[k][i]) & (x[i] <= high[k][i]);
    return good;
}

/* In which lanes the row that failed last may hold: it reaches its least margin. */
ALWAYS marks recovered(int part, const numbers *x)
{
    const numbers *row = (const numbers *)worst_rows[part];
    numbers total = row[0];
    for (int i = 0; i < D; i++) total += row[i + 1] * x[i];
    return total >= row[D + 1];
}

static void fails(int part, int l, int row)
{
    for (int i = 0; i <= D + 1; i++) worst_rows[part][i][l] = affine[row][i];
}

static __attribute__((noinline)) int inside(int part, int k, const lanes *x, int l)
{
    for (int n = begins[part]; n < begins[part + 1]; n++) {
        int row = order[n];
        if (reaches(row, k, x, l)) continue;
        for (; n > begins[part]; n--) order[n] = order[n - 1];
        order[n] = row;
        fails(part, l, row);
        return 0;
    }
    return truth(1 + part, x, l, margins[k]);
}

enum { OPEN = -2, FAILED = -1 };

/* From y[k]: the number of the state that is in I, or FAILED, for each lane that is OPEN; one
   that comes after a lane with an answer may be left OPEN where the first answer is ``enough``. */
static void roll(const int *which, int k, int enough, int *last)
{
    int same = 1;
    marks open;
    for (int l = 0; l < W; l++) open[l] = last[l] == OPEN ? -1 : 0;
    for (int l = 1; l < W; l++) same &= which[l] == which[0];
    for (;; k++) {
        const numbers *x = (const numbers *)y[k];
        marks still = bounded(k, x), back[PARTS], maybe = {0};
        for (int part = 0; part < PARTS; part++) maybe |= back[part] = recovered(part, x);
        maybe |= ~still;
        int64_t any = 0;
        for (int l = 0; l < W; l++) any |= maybe[l] & open[l];
        if (any || TESTED) {
            int left = 0;
            for (int l = 0; l < W; l++) {
                if (last[l] == OPEN && !(still[l] && truth(0, y[k], l, margins[k]))) last[l] = FAILED;
                for (int part = 0; part < PARTS && last[l] == OPEN; part++)
                    if (back[part][l] && inside(part, k, y[k], l)) last[l] = k;
                left |= last[l] == OPEN;
                open[l] = last[l] == OPEN ? -1 : 0;
                if (enough && !left && last[l] >= 0) return;
            }
            if (!left) return;
        }
        if (k == STEPS) break;
        if (same) policy(which[0], y[k], u[k], 0, W);
        else for (int l = 0; l < W; l++) policy(which[l], y[k], u[k], l, l + 1);
        step(y[k], u[k], y[k + 1]);
    }
    for (int l = 0; l < W; l++) if (last[l] == OPEN) last[l] = FAILED;
}

static int within(const double *from, int first, int n)
{
    for (int i = 0; i < n; i++)
        if (!(from[i] >= ends[first + i][0] && from[i] <= ends[first + i][1])) return 0;
    return 1;
}

static void spread(lanes *to, const double *from, int n)
{
    for (int i = 0; i < n; i++)
        for (int l = 0; l < W; l++) to[i][l] = from[i];
}

static PyObject *plan_of(int which, int l, int start, int last)
{
    Py_ssize_t moves = last - start, states = D * (moves + 1);
    PyObject *data = PyBytes_FromStringAndSize(NULL, sizeof(double) * (states + A * moves));
    if (!data) return NULL;
    char *to = PyBytes_AS_STRING(data);
    for (int k = start; k <= last; k++)
        for (int i = 0; i < D; i++, to += sizeof(double)) memcpy(to, &y[k][i][l], sizeof(double));
    for (int k = start; k < last; k++)
        for (int j = 0; j < A; j++, to += sizeof(double)) memcpy(to, &u[k][j][l], sizeof(double));
    return Py_BuildValue("iiN", which, last, data);
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
    first = (first %% POLICIES + POLICIES) %% POLICIES;
    if (!within(x, 0, D) || (start && !within(given, D, A))) Py_RETURN_NONE;
    spread(y[0], x, D);
    if (start) { spread(u[0], given, A); step(y[0], u[0], y[1]); }
    for (int n = 0; n < POLICIES; n += W) {
        int which[W], last[W];
        for (int l = 0; l < W; l++) {
            which[l] = (int)((first + (n + l < POLICIES ? n + l : n)) %% POLICIES);
            last[l] = n + l < POLICIES ? OPEN : FAILED;
        }
        roll(which, start, 1, last);
        for (int l = 0; l < W && last[l] != OPEN; l++)
            if (last[l] >= 0) return plan_of(which[l], l, start, last[l]);
    }
    Py_RETURN_NONE;
}

/* W states, or the ``n`` that are left. */
static void reach_some(const double *from, int32_t *lengths, int n, long first, long many)
{
    int last[W], which[W];
    for (int l = 0; l < W; l++) last[l] = l < n && within(from + D * l, 0, D) ? OPEN : FAILED;
    for (long p = 0; p < many; p++) {
        int open = 0;
        for (int l = 0; l < W; l++) {
            int wanted = last[l] < 0 && l < n && within(from + D * l, 0, D);
            for (int i = 0; i < D; i++) y[0][i][l] = from[D * (l < n ? l : 0) + i];
            which[l] = (int)(first + p);
            if (wanted) last[l] = OPEN;
            open |= wanted;
        }
        if (!open) break;
        roll(which, 0, 0, last);
    }
    for (int l = 0; l < n; l++) lengths[l] = last[l] < 0 ? -1 : last[l];
}

static PyObject *reach(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer from, to;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "reach(states, lengths, first, count)");
        return NULL;
    }
    long first = PyLong_AsLong(args[2]), many = PyLong_AsLong(args[3]);
    if (PyErr_Occurred()) return NULL;
    if (first < 0 || many < 0 || many > POLICIES - first) {
        PyErr_SetString(PyExc_ValueError, "there are no such programs");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &from, PyBUF_C_CONTIGUOUS)) return NULL;
    if (PyObject_GetBuffer(args[1], &to, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) {
        PyBuffer_Release(&from);
        return NULL;
    }
    Py_ssize_t n = to.len / (Py_ssize_t)sizeof(int32_t);
    int fits = from.len == n * D * (Py_ssize_t)sizeof(double);
    for (Py_ssize_t i = 0; fits && i < n; i += W)
        reach_some((const double *)from.buf + i * D, (int32_t *)to.buf + i,
                   n - i < W ? (int)(n - i) : W, first, many);
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
    for (int n = 0; n < ROWS; n++) order[n] = n;
    for (int part = 0; part < PARTS; part++)
        for (int l = 0; l < W; l++) fails(part, l, begins[part] < begins[part + 1] ? begins[part] : ROWS);
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
