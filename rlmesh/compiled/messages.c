/* The messages of a step of a single environment: rlmesh/codec/step/wire.py and result.py. */

#include "common.h"

typedef struct {
    PyObject_HEAD
    /* The tags of the fields, in the order in which `Messages` takes them. */
    uint8_t sequence, step_call, action, step, reward, terminated, truncated, observation, info;
} Messages;

/* A request before the slab of its action. */
#define REQUEST (PREFIX + 2 * INNER)

static PyObject *messages_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    const char *tags;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "y#:Messages", &tags, &count))
        return NULL;
    if (count != 9) {
        PyErr_Format(PyExc_ValueError, "expected the tags of 9 fields, got %zd", count);
        return NULL;
    }
    Messages *self = allocate(type);
    if (self)
        memcpy(&self->sequence, tags, 9);
    return (PyObject *)self;
}

static int sequence_from(PyObject *number, uint64_t *sequence)
{
    *sequence = PyLong_AsUnsignedLongLong(number);
    return !(*sequence == (uint64_t)-1 && PyErr_Occurred());
}

static PyObject *write_action(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    Messages *self = (Messages *)of;
    uint64_t sequence;
    char *slab, *message;
    Py_ssize_t size;
    if (!takes(count, 2, 2) || !sequence_from(args[0], &sequence) ||
        PyBytes_AsStringAndSize(args[1], &slab, &size) < 0)
        return NULL;
    PyObject *made = PyBytes_FromStringAndSize(NULL, REQUEST + size);
    if (!made)
        return NULL;
    message = PyBytes_AsString(made);
    uint8_t *at = (uint8_t *)message;
    at[0] = self->sequence;
    memcpy(at + 1, &sequence, 8);
    put_inner(at + PREFIX, self->step_call, (uint64_t)(size + INNER));
    put_inner(at + PREFIX + INNER, self->action, (uint64_t)size);
    memcpy(at + REQUEST, slab, (size_t)size);
    return made;
}

static PyObject *read_action(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    Messages *self = (Messages *)of;
    char *message;
    Py_ssize_t length;
    if (!takes(count, 1, 1) || PyBytes_AsStringAndSize(args[0], &message, &length) < 0)
        return NULL;
    Py_ssize_t size = length - REQUEST;
    const uint8_t *at = (const uint8_t *)message;
    if (size < 0 || at[0] != self->sequence ||
        !has_inner(at + PREFIX, self->step_call, (uint64_t)(size + INNER)) ||
        !has_inner(at + PREFIX + INNER, self->action, (uint64_t)size))
        Py_RETURN_NONE;
    uint64_t sequence;
    memcpy(&sequence, at + 1, 8);
    return Py_BuildValue("Ky#", sequence, message + REQUEST, size);
}

static void put_head(Messages *self, uint8_t tag, uint8_t *at, Py_ssize_t length, Py_ssize_t slab,
                     double reward, int terminated, int truncated)
{
    uint8_t head[RESULT_HEAD];
    put_inner(head, tag, (uint64_t)length);
    head[INNER] = self->reward;
    head[INNER + 1] = 8;
    memcpy(head + REWARD_AT, &reward, 8);
    head[TERMINATED_AT - 2] = self->terminated;
    head[TERMINATED_AT - 1] = 1;
    head[TERMINATED_AT] = (uint8_t)terminated;
    head[TRUNCATED_AT - 2] = self->truncated;
    head[TRUNCATED_AT - 1] = 1;
    head[TRUNCATED_AT] = (uint8_t)truncated;
    put_inner(head + TRUNCATED_AT + 1, self->observation, (uint64_t)slab);
    memcpy(at, head, RESULT_HEAD);
}

static PyObject *write_result(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    Messages *self = (Messages *)of;
    PyObject *result = NULL;
    Py_buffer view;
    char *tag, *info;
    Py_ssize_t tag_size, info_size;
    /* buffer, start, tag, slab_end, (reward, terminated, truncated), info */
    if (!takes(count, 6, 6) || PyBytes_AsStringAndSize(args[2], &tag, &tag_size) < 0 ||
        PyBytes_AsStringAndSize(args[5], &info, &info_size) < 0)
        return NULL;
    Py_ssize_t start = PyLong_AsSsize_t(args[1]), end = PyLong_AsSsize_t(args[3]);
    if (PyErr_Occurred())
        return NULL;
    if (!PyTuple_Check(args[4]) || PyTuple_Size(args[4]) != 3 || tag_size != 1) {
        PyErr_SetString(PyExc_TypeError, "expected a tag of one byte, and three numbers");
        return NULL;
    }
    double reward = PyFloat_AsDouble(PyTuple_GetItem(args[4], 0));
    if (reward == -1.0 && PyErr_Occurred())
        return NULL;
    int terminated = PyObject_IsTrue(PyTuple_GetItem(args[4], 1));
    int truncated = PyObject_IsTrue(PyTuple_GetItem(args[4], 2));
    if (terminated < 0 || truncated < 0 || PyObject_GetBuffer(args[0], &view, PyBUF_WRITABLE) < 0)
        return NULL;
    Py_ssize_t slab = end - start - RESULT_HEAD;
    if (!stands(&view, start, RESULT_HEAD) || !stands(&view, start + RESULT_HEAD, slab))
        goto done;
    uint8_t *at = view.buf;
    if (info_size) {
        if (!stands(&view, end, INNER) || !stands(&view, end + INNER, info_size))
            goto done;
        put_inner(at + end, self->info, (uint64_t)info_size);
        memcpy(at + end + INNER, info, (size_t)info_size);
        end += INNER + info_size;
    }
    put_head(self, (uint8_t)tag[0], at + start, end - start - INNER, slab, reward, terminated,
             truncated);
    result = PyLong_FromSsize_t(end);
done:
    PyBuffer_Release(&view);
    return result;
}

/* The length that a varint of five bytes stands for; -1 where it is shorter or longer. */
static int64_t length_at(const uint8_t *at)
{
    uint64_t length = 0;
    for (int place = 0; place < 4; place++) {
        if (!(at[place] & 0x80))
            return -1;
        length |= (uint64_t)(at[place] & 0x7f) << (7 * place);
    }
    return at[4] & 0x80 ? -1 : (int64_t)(length | (uint64_t)at[4] << 28);
}

static PyObject *read_answer(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    Messages *self = (Messages *)of;
    PyObject *result = NULL;
    Py_buffer view;
    uint64_t sequence, number;
    /* buffer, start, end, sequence */
    if (!takes(count, 4, 4) || !sequence_from(args[3], &sequence))
        return NULL;
    Py_ssize_t start = PyLong_AsSsize_t(args[1]), end = PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (!stands(&view, start, end - start))
        goto done;
    if (end - start < PREFIX + RESULT_HEAD)
        goto other;
    /* A copy, which the other side cannot change during the checks. */
    uint8_t copy[PREFIX + RESULT_HEAD];
    memcpy(copy, (const uint8_t *)view.buf + start, sizeof copy);
    memcpy(&number, copy + 1, 8);
    const uint8_t *head = copy + PREFIX;
    int64_t slab = length_at(head + RESULT_HEAD - 5);
    Py_ssize_t begin = start + PREFIX + RESULT_HEAD;
    if (copy[0] != self->sequence || number != sequence ||
        !has_inner(head, self->step, (uint64_t)(end - start - PREFIX - INNER)) ||
        head[INNER] != self->reward || head[INNER + 1] != 8 ||
        head[TERMINATED_AT - 2] != self->terminated || head[TERMINATED_AT - 1] != 1 ||
        head[TRUNCATED_AT - 2] != self->truncated || head[TRUNCATED_AT - 1] != 1 ||
        head[TRUNCATED_AT + 1] != self->observation || slab < 0 || slab > end - begin)
        goto other;
    Py_ssize_t info = begin + (Py_ssize_t)slab, info_size = 0;
    const uint8_t *at = (const uint8_t *)view.buf + info;
    if (info != end) {
        info_size = end - info - INNER;
        uint8_t inner[INNER];
        if (info_size < 0)
            goto other;
        memcpy(inner, at, INNER);
        if (!has_inner(inner, self->info, (uint64_t)info_size))
            goto other;
        at += INNER;
    }
    double reward;
    memcpy(&reward, head + REWARD_AT, 8);
    PyObject *values[7] = {
        PyFloat_FromDouble(reward),
        PyBool_FromLong(head[TERMINATED_AT]),
        PyBool_FromLong(head[TRUNCATED_AT]),
        Py_NewRef(args[0]),
        PyLong_FromSsize_t(begin),
        PyLong_FromSsize_t((Py_ssize_t)slab),
        PyBytes_FromStringAndSize((const char *)at, info_size),
    };
    if (!PyErr_Occurred())
        result = PyTuple_Pack(7, values[0], values[1], values[2], values[3], values[4], values[5],
                              values[6]);
    for (int place = 0; place < 7; place++)
        Py_XDECREF(values[place]);
    goto done;
other:
    result = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&view);
    return result;
}

static PyMethodDef messages_methods[] = {
    {"write_action", (PyCFunction)(void (*)(void))write_action, METH_FASTCALL, NULL},
    {"read_action", (PyCFunction)(void (*)(void))read_action, METH_FASTCALL, NULL},
    {"write_result", (PyCFunction)(void (*)(void))write_result, METH_FASTCALL, NULL},
    {"read_answer", (PyCFunction)(void (*)(void))read_answer, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot messages_slots[] = {
    {Py_tp_new, messages_new},
    {Py_tp_dealloc, give_back},
    {Py_tp_methods, messages_methods},
    {0, NULL},
};

static PyType_Spec messages_spec = {
    "rlmesh.compiled._step.Messages", sizeof(Messages), 0, Py_TPFLAGS_DEFAULT, messages_slots,
};

static PyTypeObject *messages_type;

int is_messages(PyObject *messages) { return Py_TYPE(messages) == messages_type; }

void put_result(PyObject *messages, uint8_t tag, uint8_t *at, Py_ssize_t slab, double reward,
                int terminated, int truncated)
{
    put_head((Messages *)messages, tag, at, RESULT_HEAD - INNER + slab, slab, reward, terminated,
             truncated);
}

int add_messages(PyObject *module) { return add_type(module, &messages_spec, &messages_type); }
