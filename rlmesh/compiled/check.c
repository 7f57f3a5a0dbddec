/* The fast check of small leaves: rlmesh/codec/checks/fast_checks.py. */

#include "common.h"

typedef struct {
    Py_ssize_t offset;
    /* As `struct` has it: ? b B h H i I q Q f d */
    char code;
    /* Whether NaN is within. */
    char any_nan;
    union {
        double number;
        int64_t integer;
        uint64_t whole;
    } low, high;
} Bound;

typedef struct {
    PyObject_HEAD
    Bound *bounds;
    Py_ssize_t count, end;
} Check;

static int size_of(char code)
{
    switch (code) {
    case '?': case 'b': case 'B': return 1;
    case 'h': case 'H': return 2;
    case 'i': case 'I': case 'f': return 4;
    case 'q': case 'Q': case 'd': return 8;
    default: return 0;
    }
}

static int is_float(char code) { return code == 'f' || code == 'd'; }

static int is_unsigned(char code)
{
    return code == '?' || code == 'B' || code == 'H' || code == 'I' || code == 'Q';
}

/* Reads (offset, code, low, high, any_nan); both bounds are numbers that the code can hold. */
static int read_bound(PyObject *item, Bound *bound)
{
    PyObject *low, *high;
    int code, any_nan;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple for each element");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "nCOOp", &bound->offset, &code, &low, &high, &any_nan))
        return -1;
    bound->code = (char)code;
    bound->any_nan = (char)any_nan;
    if (bound->offset < 0 || code > 'z' || !size_of((char)code)) {
        PyErr_Format(PyExc_ValueError, "no element of code %d stands at offset %zd", code,
                     bound->offset);
        return -1;
    }
    if (is_float(bound->code)) {
        bound->low.number = PyFloat_AsDouble(low);
        bound->high.number = PyFloat_AsDouble(high);
    } else if (is_unsigned(bound->code)) {
        bound->low.whole = PyLong_AsUnsignedLongLong(low);
        bound->high.whole = PyLong_AsUnsignedLongLong(high);
    } else {
        bound->low.integer = PyLong_AsLongLong(low);
        bound->high.integer = PyLong_AsLongLong(high);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *check_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *items;
    if (!PyArg_ParseTuple(args, "O!:Check", &PyTuple_Type, &items))
        return NULL;
    Check *self = allocate(type);
    if (!self)
        return NULL;
    self->count = PyTuple_Size(items);
    self->bounds = PyMem_Calloc((size_t)self->count + 1, sizeof(Bound));
    if (!self->bounds) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t place = 0; place < self->count; place++) {
        Bound *bound = &self->bounds[place];
        if (read_bound(PyTuple_GetItem(items, place), bound) < 0) {
            Py_DECREF(self);
            return NULL;
        }
        if (bound->offset + size_of(bound->code) > self->end)
            self->end = bound->offset + size_of(bound->code);
    }
    return (PyObject *)self;
}

static void check_dealloc(PyObject *of)
{
    PyMem_Free(((Check *)of)->bounds);
    give_back(of);
}

static int within(const Bound *bound, const uint8_t *at)
{
    double number;
    float single;
    if (is_float(bound->code)) {
        if (bound->code == 'f') {
            memcpy(&single, at, 4);
            number = single;
        } else {
            memcpy(&number, at, 8);
        }
        /* A comparison with NaN is false. */
        return (bound->low.number <= number && number <= bound->high.number) ||
               (bound->any_nan && number != number);
    }
    int size = size_of(bound->code);
    uint64_t bits = 0;
    memcpy(&bits, at, (size_t)size);
    if (bound->code == '?')
        bits = bits != 0;
    if (is_unsigned(bound->code))
        return bound->low.whole <= bits && bits <= bound->high.whole;
    int unused = 64 - 8 * size;
    int64_t value = (int64_t)(bits << unused) >> unused;
    return bound->low.integer <= value && value <= bound->high.integer;
}

int check_held(PyObject *of, const uint8_t *at)
{
    Check *self = (Check *)of;
    int held = 1;
    for (Py_ssize_t place = 0; held && place < self->count; place++)
        held = within(&self->bounds[place], at + self->bounds[place].offset);
    return held;
}

static PyObject *check_holds(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    Check *self = (Check *)of;
    Py_buffer view;
    if (!takes(count, 2, 2))
        return NULL;
    Py_ssize_t offset = PyLong_AsSsize_t(args[1]);
    if ((offset == -1 && PyErr_Occurred()) || PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *result = NULL;
    if (stands(&view, offset, self->end))
        result = PyBool_FromLong(check_held(of, (const uint8_t *)view.buf + offset));
    PyBuffer_Release(&view);
    return result;
}

static PyMethodDef check_methods[] = {
    {"holds", (PyCFunction)(void (*)(void))check_holds, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot check_slots[] = {
    {Py_tp_new, check_new},
    {Py_tp_dealloc, check_dealloc},
    {Py_tp_methods, check_methods},
    {0, NULL},
};

static PyType_Spec check_spec = {
    "rlmesh.compiled._step.Check", sizeof(Check), 0, Py_TPFLAGS_DEFAULT, check_slots,
};

static PyTypeObject *check_type;

Py_ssize_t check_size(PyObject *check)
{
    return Py_TYPE(check) == check_type ? ((Check *)check)->end : -1;
}

int add_check(PyObject *module) { return add_type(module, &check_spec, &check_type); }
