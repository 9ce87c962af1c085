"""The C text of whole episodes: a model's step as compiled code, programs as code for a stack.

A program is a list of whole numbers, `nprl.distill.machine.code`: compiling each of thousands of
candidates would take longer than playing them.
"""

from __future__ import annotations

TEXT = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
%(prelude)s
enum { STATES = %(states)d, ACTIONS = %(actions)d, NOISES = %(noises)d, SEEN = %(seen)d,
       CHOICES = %(choices)d, SINGLE = %(single)d, ROUNDED = %(rounded)d, OWN = %(own)d, DEEP = %(deep)d,
       KEPT = %(kept)d };
static const double low[] = {%(low)s}, high[] = {%(high)s};
static const double seen_low[] = {%(seen_low)s}, seen_high[] = {%(seen_high)s};
static const double choices[] = {%(table)s};
static const double penalty = %(penalty)s;
enum { %(codes)s };

%(world)s
static void begin(void *const *world, const double *start, double *x)
{
%(begin)s
}
static void step(void *const *world, const double *x, const double *u, const double *w, double *next)
{
%(step)s
}
static void observe(const double *x, double *seen)
{
%(observe)s
}
static double reward(const double *x, const double *u, const double *next)
{
%(reward)s
}
static void verdict(const double *x, int *safe, int *terminal)
{
%(verdict)s
}

static void answer(const int *code, const double *in, const double *holes, double *out, double *held)
{
    double s[DEEP], after[KEPT];
    int top = -1;
    for (;;) switch (*code++) {
    case END: return;
    case OUT: { int j = *code++; out[j] = least(most(s[top], low[j]), high[j]); top--; break; }
    case VAR: s[++top] = in[*code++]; break;
    case HELD: s[++top] = held[*code++]; break;
    case HOLD: after[*code++] = s[top--]; break;
    case TURN: { int n = *code++; for (int k = 0; k < n; k++) held[k] = after[k]; break; }
    case HOLE: s[++top] = holes[*code++]; break;
    case NEG: s[top] = -s[top]; break;
    case ABS: s[top] = fabs(s[top]); break;
    case SIN: s[top] = sin(s[top]); break;
    case COS: s[top] = cos(s[top]); break;
    case TAN: s[top] = saturate(tan(s[top])); break;
    case TANH: s[top] = tanh(s[top]); break;
    case EXP: s[top] = total_exp(s[top]); break;
    case LOG: s[top] = total_log(s[top]); break;
    case SQRT: s[top] = total_sqrt(s[top]); break;
    case ADD: top--; s[top] = saturate(s[top] + s[top + 1]); break;
    case SUB: top--; s[top] = saturate(s[top] - s[top + 1]); break;
    case MUL: top--; s[top] = saturate(s[top] * s[top + 1]); break;
    case DIV: top--; s[top] = divide(s[top], s[top + 1]); break;
    case MIN: top--; s[top] = least(s[top], s[top + 1]); break;
    case MAX: top--; s[top] = most(s[top], s[top + 1]); break;
    case POW: { int n = *code++; double b = s[top], r = 1.0; if (n) r = b;
                for (int k = 1; k < n; k++) r *= b; s[top] = saturate(r); break; }
    case CLIP: top -= 2; s[top] = least(most(s[top], s[top + 1]), s[top + 2]); break;
    case LE: top--; s[top] = s[top] <= s[top + 1]; break;
    case LT: top--; s[top] = s[top] < s[top + 1]; break;
    case GE: top--; s[top] = s[top] >= s[top + 1]; break;
    case GT: top--; s[top] = s[top] > s[top + 1]; break;
    case AND: top--; s[top] = s[top] != 0.0 && s[top + 1] != 0.0; break;
    case OR: top--; s[top] = s[top] != 0.0 || s[top + 1] != 0.0; break;
    case NOT: s[top] = s[top] == 0.0; break;
    case WHERE: top -= 2; s[top] = s[top] != 0.0 ? s[top + 1] : s[top + 2]; break;
    default: return;
    }
}

static void choose(double *u)
{
    int best = 0;
    double least_apart = INFINITY;
    for (int k = 0; k < CHOICES; k++) {
        double apart = 0.0;
        for (int j = 0; j < ACTIONS; j++) {
            double d = u[j] - choices[k * ACTIONS + j];
            apart += d * d;
        }
        if (apart < least_apart) { least_apart = apart; best = k; }
    }
    for (int j = 0; j < ACTIONS; j++) u[j] = choices[best * ACTIONS + j];
}

/* One episode: its return, and its length in *length. */
static double episode(const int *code, const double *holes, const double *start, const double *noise,
                      long apart, void *const *world, long horizon, long *length)
{
    double a[STATES], b[STATES], *x = a, *next = b, seen[SEEN], u[ACTIONS], held[KEPT], total = 0.0;
    begin(world, start, x);
    answer(code + 1, seen, holes, u, held);
    long t = 0;
    while (t < horizon) {
        int safe, terminal;
        observe(x, seen);
        for (int i = 0; i < SEEN; i++) {
            seen[i] = least(most(seen[i], seen_low[i]), seen_high[i]);
            if (ROUNDED) seen[i] = (float)seen[i];
        }
        answer(code + code[0], seen, holes, u, held);
        if (CHOICES) choose(u);
        step(world, x, u, noise + t * apart, next);
        if (SINGLE) for (int i = 0; i < STATES; i++) next[i] = (float)next[i];
        verdict(next, &safe, &terminal);
        total += OWN && !safe ? (penalty == penalty ? penalty : reward(x, u, next)) : reward(x, u, next);
        t++;
        if (terminal || (OWN && !safe)) break;
        double *other = x; x = next; next = other;
    }
    *length = t;
    return total;
}

/* play(code, holes (s, h), starts (n, d), noise (horizon, n, k), world, horizon, returns (s, n), lengths) */
static PyObject *play(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer b[7];
    static const int at[] = {0, 1, 2, 3, 4, 6, 7};
    int open = 0;
    PyObject *result = NULL;
    if (count != 8) { PyErr_SetString(PyExc_TypeError, "play takes 8 arguments"); return NULL; }
    long horizon = PyLong_AsLong(args[5]);
    if (horizon == -1 && PyErr_Occurred()) return NULL;
    for (; open < 7; open++)
        if (PyObject_GetBuffer(args[at[open]], &b[open],
                               PyBUF_C_CONTIGUOUS | PyBUF_ND | (open > 4 ? PyBUF_WRITABLE : 0))) goto done;
    Py_ssize_t n = b[2].shape[0], s = b[1].shape[0], h = b[1].shape[1], d = b[2].shape[1];
    if (b[5].len != (Py_ssize_t)sizeof(double) * n * s || b[6].len != (Py_ssize_t)sizeof(long) * n * s) {
        PyErr_SetString(PyExc_ValueError, "the results have another size");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t k = 0; k < s; k++)
        for (Py_ssize_t i = 0; i < n; i++)
            ((double *)b[5].buf)[k * n + i] = episode(
                b[0].buf, (const double *)b[1].buf + k * h, (const double *)b[2].buf + i * d,
                (const double *)b[3].buf + i * NOISES, (long)n * NOISES, b[4].buf, horizon,
                (long *)b[6].buf + k * n + i);
    Py_END_ALLOW_THREADS
    Py_INCREF(Py_None);
    result = Py_None;
done:
    while (open) PyBuffer_Release(&b[--open]);
    return result;
}

static PyMethodDef methods[] = {
    {"play", (PyCFunction)(void (*)(void))play, METH_FASTCALL, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "nprl_native", NULL, 0, methods};
PyMODINIT_FUNC PyInit_nprl_native(void) { return PyModuleDef_Init(&definition); }
"""
