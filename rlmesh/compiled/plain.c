/* A plain step of a single environment, each half in one call: rlmesh/codec/step/plain.py.

   Plain is a step whose action and observation are one small numeric leaf each and within their
   bounds, with a float, two bools and an empty dict beside the observation. Everything else gets
   None, and the functions in Python that read and write it from the start. */

#include "common.h"

/* Reads actions. */
typedef struct {
    PyObject_HEAD
    PyObject *leaf, *check;
    Py_ssize_t size;
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

static PyObject *action_read(PyObject *of, PyObject *slab)
{
    PlainAction *self = (PlainAction *)of;
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(slab, &bytes, &size) < 0)
        return NULL;
    if (size == self->size && check_held(self->check, (uint8_t *)bytes)) {
        PyObject *action = leaf_get(self->leaf, (uint8_t *)bytes);
        if (action || PyErr_Occurred())
            return action;
    }
    Py_RETURN_NONE;
}

static PyMethodDef action_methods[] = {
    {"read", action_read, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot action_slots[] = {
    {Py_tp_new, action_new},
    {Py_tp_dealloc, action_dealloc},
    {Py_tp_methods, action_methods},
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
    /* returned, buffer, start, tag */
    if (!takes(count, 4, 4) || PyBytes_AsStringAndSize(args[3], &tag, &tag_size) < 0)
        return NULL;
    Py_ssize_t start = PyLong_AsSsize_t(args[2]);
    if (start == -1 && PyErr_Occurred())
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
    if (start >= 0 && whole <= view.len && start <= view.len - whole) {
        uint8_t *at = (uint8_t *)view.buf + start, *slab = at + RESULT_HEAD;
        if (array_put(self->leaf, PyTuple_GetItem(returned, 0), slab) &&
            check_held(self->check, slab)) {
            put_result(self->messages, (uint8_t)tag[0], at, self->size, PyFloat_AsDouble(reward),
                       terminated == Py_True, truncated == Py_True);
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

static PyTypeObject *action_type, *result_type;

int add_plain(PyObject *module)
{
    if (add_type(module, &action_spec, &action_type) < 0)
        return -1;
    return add_type(module, &result_spec, &result_type);
}
