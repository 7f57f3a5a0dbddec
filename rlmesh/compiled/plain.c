/* A plain step of a single environment in three calls: rlmesh/codec/step/plain.py.

   Plain is a step whose action and observation are one small numeric leaf each and within their
   bounds, with a float, two bools and an empty dict beside the observation. Everything else is
   left to the functions in Python, which do it from the start. */

#include "common.h"

#include <structmember.h>
#include <time.h>

/* Observations of more bytes are left to Python: the copy on the stack would be large. */
#define SMALL 1024

/* Calls environments with actions. */
typedef struct {
    PyObject_HEAD
    PyObject *leaf, *check;
    Py_ssize_t size;
    /* How long the last call of the environment took. */
    double seconds;
} PlainAction;

/* The size of a leaf whose slab a check can read; -1 with an error set where there is none. */
static Py_ssize_t checked_size(PyObject *leaf, PyObject *check)
{
    Py_ssize_t size = leaf_size(leaf), read = check_size(check);
    if (size >= 0 && read >= 0 && read <= size)
        return size;
    PyErr_SetString(PyExc_TypeError, "expected a leaf and the check of its slab");
    return -1;
}

static PyObject *action_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *leaf, *check;
    if (!PyArg_ParseTuple(args, "OO:PlainAction", &leaf, &check))
        return NULL;
    Py_ssize_t size = checked_size(leaf, check);
    if (size < 0)
        return NULL;
    PlainAction *self = allocate(type);
    if (!self)
        return NULL;
    self->leaf = Py_NewRef(leaf);
    self->check = Py_NewRef(check);
    self->size = size;
    return (PyObject *)self;
}

static void action_dealloc(PyObject *of)
{
    PlainAction *self = (PlainAction *)of;
    Py_XDECREF(self->leaf);
    Py_XDECREF(self->check);
    give_back(of);
}

/* On the clock of `time.perf_counter`. */
static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

static PyObject *action_step(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    PlainAction *self = (PlainAction *)of;
    static PyObject *step;
    char *bytes;
    Py_ssize_t size;
    /* env, slab */
    if (!takes(count, 2, 2) || PyBytes_AsStringAndSize(args[1], &bytes, &size) < 0 ||
        (!step && !(step = PyUnicode_InternFromString("step"))))
        return NULL;
    self->seconds = 0;
    if (size != self->size || !check_held(self->check, (uint8_t *)bytes))
        return Py_NewRef(of);
    PyObject *action = leaf_get(self->leaf, (uint8_t *)bytes);
    if (!action)
        return PyErr_Occurred() ? NULL : Py_NewRef(of);
    double began = now();
    PyObject *returned = PyObject_CallMethodObjArgs(args[0], step, action, NULL);
    self->seconds = now() - began;
    Py_DECREF(action);
    return returned;
}

static PyMethodDef action_methods[] = {
    {"step", (PyCFunction)(void (*)(void))action_step, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef action_members[] = {
    {"seconds", T_DOUBLE, offsetof(PlainAction, seconds), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot action_slots[] = {
    {Py_tp_new, action_new},
    {Py_tp_dealloc, action_dealloc},
    {Py_tp_methods, action_methods},
    {Py_tp_members, action_members},
    {0, NULL},
};

static PyType_Spec action_spec = {
    "rlmesh.compiled._step.PlainAction", sizeof(PlainAction), 0, Py_TPFLAGS_DEFAULT, action_slots,
};

/* Writes results. */
typedef struct {
    PyObject_HEAD
    PyObject *messages, *leaf, *check;
    Py_ssize_t size;
} PlainResult;

static PyObject *result_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *messages, *leaf, *check;
    if (!PyArg_ParseTuple(args, "OOO:PlainResult", &messages, &leaf, &check))
        return NULL;
    Py_ssize_t size = checked_size(leaf, check);
    if (size < 0)
        return NULL;
    if (!is_messages(messages)) {
        PyErr_SetString(PyExc_TypeError, "expected the messages of a step");
        return NULL;
    }
    PlainResult *self = allocate(type);
    if (!self)
        return NULL;
    self->messages = Py_NewRef(messages);
    self->leaf = Py_NewRef(leaf);
    self->check = Py_NewRef(check);
    self->size = size;
    return (PyObject *)self;
}

static void result_dealloc(PyObject *of)
{
    PlainResult *self = (PlainResult *)of;
    Py_XDECREF(self->messages);
    Py_XDECREF(self->leaf);
    Py_XDECREF(self->check);
    give_back(of);
}

static PyObject *result_write(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    PlainResult *self = (PlainResult *)of;
    Py_buffer view;
    char *tag;
    Py_ssize_t tag_size;
    /* returned, buffer, start, tag, and the sequence of a message that holds it alone */
    if (!takes(count, 4, 5) || PyBytes_AsStringAndSize(args[3], &tag, &tag_size) < 0)
        return NULL;
    Py_ssize_t start = PyLong_AsSsize_t(args[2]);
    if (start == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t before = count == 5 ? PREFIX : 0;
    uint64_t sequence = 0;
    if (before && !sequence_from(args[4], &sequence))
        return NULL;
    PyObject *returned = args[0];
    if (!PyTuple_CheckExact(returned) || PyTuple_Size(returned) != 5 || tag_size != 1)
        Py_RETURN_NONE;
    PyObject *reward = PyTuple_GetItem(returned, 1), *terminated = PyTuple_GetItem(returned, 2);
    PyObject *truncated = PyTuple_GetItem(returned, 3), *info = PyTuple_GetItem(returned, 4);
    if (!PyFloat_CheckExact(reward) || !PyBool_Check(terminated) || !PyBool_Check(truncated) ||
        !PyDict_CheckExact(info) || PyDict_Size(info))
        Py_RETURN_NONE;
    if (PyObject_GetBuffer(args[1], &view, PyBUF_WRITABLE) < 0)
        return NULL;
    Py_ssize_t whole = RESULT_HEAD + self->size;
    PyObject *end = NULL;
    if (start >= before && whole <= view.len && start <= view.len - whole) {
        uint8_t *at = (uint8_t *)view.buf + start, *slab = at + RESULT_HEAD;
        if (array_put(self->leaf, PyTuple_GetItem(returned, 0), slab) &&
            check_held(self->check, slab)) {
            put_result(self->messages, (uint8_t)tag[0], at, self->size, PyFloat_AsDouble(reward),
                       terminated == Py_True, truncated == Py_True);
            if (before)
                put_sequence(self->messages, at - PREFIX, sequence);
            end = PyLong_FromSsize_t(start + whole);
        }
    }
    PyBuffer_Release(&view);
    return end || PyErr_Occurred() ? end : Py_NewRef(Py_None);
}

static PyMethodDef result_methods[] = {
    {"write", (PyCFunction)(void (*)(void))result_write, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot result_slots[] = {
    {Py_tp_new, result_new},
    {Py_tp_dealloc, result_dealloc},
    {Py_tp_methods, result_methods},
    {0, NULL},
};

static PyType_Spec result_spec = {
    "rlmesh.compiled._step.PlainResult", sizeof(PlainResult), 0, Py_TPFLAGS_DEFAULT, result_slots,
};

/* Reads answers, for a caller who keeps what it gets. */
typedef struct {
    PyObject_HEAD
    PyObject *messages, *leaf;
    Py_ssize_t size;
} PlainAnswer;

static PyObject *answer_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *messages, *leaf;
    if (!PyArg_ParseTuple(args, "OO:PlainAnswer", &messages, &leaf))
        return NULL;
    Py_ssize_t size = leaf_size(leaf);
    if (size < 0 || size > SMALL || !is_messages(messages)) {
        PyErr_SetString(PyExc_TypeError, "expected the messages of a step and a small leaf");
        return NULL;
    }
    PlainAnswer *self = allocate(type);
    if (!self)
        return NULL;
    self->messages = Py_NewRef(messages);
    self->leaf = Py_NewRef(leaf);
    self->size = size;
    return (PyObject *)self;
}

static void answer_dealloc(PyObject *of)
{
    PlainAnswer *self = (PlainAnswer *)of;
    Py_XDECREF(self->messages);
    Py_XDECREF(self->leaf);
    give_back(of);
}

static PyObject *answer_read(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    PlainAnswer *self = (PlainAnswer *)of;
    Py_buffer view;
    uint64_t sequence;
    /* buffer, start, end, sequence */
    if (!takes(count, 4, 4) || !sequence_from(args[3], &sequence))
        return NULL;
    Py_ssize_t start = PyLong_AsSsize_t(args[1]), end = PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred())
        return NULL;
    Py_ssize_t whole = PREFIX + RESULT_HEAD + self->size;
    if (end - start != whole)
        Py_RETURN_NONE;
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    /* A copy, which the other side cannot change during the checks. */
    uint8_t copy[PREFIX + RESULT_HEAD + SMALL];
    int there = stands(&view, start, whole);
    if (there)
        memcpy(copy, (const uint8_t *)view.buf + start, (size_t)whole);
    PyBuffer_Release(&view);
    double reward;
    int terminated, truncated;
    if (!there)
        return NULL;
    if (!has_sequence(self->messages, copy, sequence) ||
        !get_result(self->messages, copy + PREFIX, self->size, &reward, &terminated, &truncated))
        Py_RETURN_NONE;
    PyObject *observation = leaf_get(self->leaf, copy + PREFIX + RESULT_HEAD);
    if (!observation)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    return Py_BuildValue("NdOO{}", observation, reward, terminated ? Py_True : Py_False,
                         truncated ? Py_True : Py_False);
}

static PyMethodDef answer_methods[] = {
    {"read", (PyCFunction)(void (*)(void))answer_read, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot answer_slots[] = {
    {Py_tp_new, answer_new},
    {Py_tp_dealloc, answer_dealloc},
    {Py_tp_methods, answer_methods},
    {0, NULL},
};

static PyType_Spec answer_spec = {
    "rlmesh.compiled._step.PlainAnswer", sizeof(PlainAnswer), 0, Py_TPFLAGS_DEFAULT, answer_slots,
};

static PyTypeObject *action_type, *result_type, *answer_type;

int add_plain(PyObject *module)
{
    if (add_type(module, &action_spec, &action_type) < 0)
        return -1;
    if (add_type(module, &result_spec, &result_type) < 0)
        return -1;
    return add_type(module, &answer_spec, &answer_type);
}
