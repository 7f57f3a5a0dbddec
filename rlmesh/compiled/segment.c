/* One side of a segment of shared memory: what ShmPipe and Doorbell do at every message
   (rlmesh/transports/shm).

   The other side may write anything at any time: every number of its is read once, into a copy,
   and checked before it is used. */

#include "common.h"

/* Where the message begins and ends, and the size of its own segment; see shm/pipe.py. */
#define HEADER 24
/* The flag behind the count of a side's line. */
#define ASLEEP 1

typedef struct {
    PyObject_HEAD
    /* The control lines, the area that this side writes, and the one that it reads. */
    Py_buffer lines, out, in;
    Py_ssize_t mine, theirs;
} SegmentEnd;

static PyObject *end_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *lines, *out, *in;
    Py_ssize_t mine, theirs;
    if (!PyArg_ParseTuple(args, "OOOnn:SegmentEnd", &lines, &out, &in, &mine, &theirs))
        return NULL;
    SegmentEnd *self = allocate(type);
    if (!self)
        return NULL;
    self->mine = mine;
    self->theirs = theirs;
    if (PyObject_GetBuffer(lines, &self->lines, PyBUF_WRITABLE) < 0 ||
        PyObject_GetBuffer(out, &self->out, PyBUF_WRITABLE) < 0 ||
        PyObject_GetBuffer(in, &self->in, PyBUF_SIMPLE) < 0 ||
        !stands(&self->lines, mine, ASLEEP + 1) || !stands(&self->lines, theirs, ASLEEP + 1) ||
        !stands(&self->out, 0, HEADER) || !stands(&self->in, 0, HEADER)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void end_dealloc(PyObject *of)
{
    SegmentEnd *self = (SegmentEnd *)of;
    /* Releasing a buffer that was never filled does nothing. */
    PyBuffer_Release(&self->lines);
    PyBuffer_Release(&self->out);
    PyBuffer_Release(&self->in);
    give_back(of);
}

static uint8_t *byte_at(SegmentEnd *self, Py_ssize_t offset)
{
    return (uint8_t *)self->lines.buf + offset;
}

/* Raises this side's count; returns whether the other side sleeps, and needs a ring. */
static int announce(SegmentEnd *self)
{
    uint8_t *count = byte_at(self, self->mine);
    __atomic_store_n(count, (uint8_t)(*count + 1), __ATOMIC_RELEASE);
    /* The count is seen before the flag is read, and `sleeps` does it the other way round: at least
       one of the two sides sees what the other wrote. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(byte_at(self, self->theirs + ASLEEP), __ATOMIC_ACQUIRE) != 0;
}

static void put_header(SegmentEnd *self, uint64_t start, uint64_t end)
{
    uint64_t header[3] = {start, end, 0};
    memcpy(self->out.buf, header, HEADER);
}

static PyObject *end_send(PyObject *of, PyObject *message)
{
    SegmentEnd *self = (SegmentEnd *)of;
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(message, &bytes, &size) < 0)
        return NULL;
    if (!stands(&self->out, HEADER, size))
        return NULL;
    memcpy((char *)self->out.buf + HEADER, bytes, (size_t)size);
    put_header(self, HEADER, (uint64_t)(HEADER + size));
    return PyBool_FromLong(announce(self));
}

static PyObject *end_post(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    SegmentEnd *self = (SegmentEnd *)of;
    if (!takes(count, 2, 2))
        return NULL;
    Py_ssize_t start = PyLong_AsSsize_t(args[0]), end = PyLong_AsSsize_t(args[1]);
    if (PyErr_Occurred() || !stands(&self->out, start, end - start))
        return NULL;
    put_header(self, (uint64_t)start, (uint64_t)end);
    return PyBool_FromLong(announce(self));
}

static PyObject *end_announce(PyObject *of, PyObject *Py_UNUSED(nothing))
{
    return PyBool_FromLong(announce((SegmentEnd *)of));
}

/* Looks at the other side's count until it is as given, `looks` times at most. */
static int look_for(SegmentEnd *self, PyObject *const *args, Py_ssize_t count)
{
    if (!takes(count, 2, 2))
        return -1;
    long expected = PyLong_AsLong(args[0]), looks = PyLong_AsLong(args[1]);
    if (PyErr_Occurred())
        return -1;
    const uint8_t *at = byte_at(self, self->theirs);
    while (looks-- > 0) {
        if (__atomic_load_n(at, __ATOMIC_ACQUIRE) == expected)
            return 1;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    return 0;
}

static PyObject *end_look(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    int come = look_for((SegmentEnd *)of, args, count);
    return come < 0 ? NULL : PyBool_FromLong(come);
}

static PyObject *end_receive(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    SegmentEnd *self = (SegmentEnd *)of;
    int come = look_for(self, args, count);
    if (come <= 0)
        return come ? NULL : Py_NewRef(Py_None);
    uint64_t header[3];
    memcpy(header, self->in.buf, HEADER);
    /* Python fetches a message in its own segment, and refuses an impossible one. */
    if (header[2] || header[0] < HEADER || header[0] > header[1] ||
        header[1] > (uint64_t)self->in.len)
        Py_RETURN_NONE;
    return Py_BuildValue("OKK", self->in.obj, header[0], header[1]);
}

static PyObject *end_sleeps(PyObject *of, PyObject *sleeps)
{
    SegmentEnd *self = (SegmentEnd *)of;
    int asleep = PyObject_IsTrue(sleeps);
    if (asleep < 0)
        return NULL;
    __atomic_store_n(byte_at(self, self->mine + ASLEEP), (uint8_t)asleep, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    Py_RETURN_NONE;
}

static PyMethodDef end_methods[] = {
    {"send", end_send, METH_O, NULL},
    {"post", (PyCFunction)(void (*)(void))end_post, METH_FASTCALL, NULL},
    {"announce", end_announce, METH_NOARGS, NULL},
    {"look", (PyCFunction)(void (*)(void))end_look, METH_FASTCALL, NULL},
    {"receive", (PyCFunction)(void (*)(void))end_receive, METH_FASTCALL, NULL},
    {"sleeps", end_sleeps, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot end_slots[] = {
    {Py_tp_new, end_new},
    {Py_tp_dealloc, end_dealloc},
    {Py_tp_methods, end_methods},
    {0, NULL},
};

static PyType_Spec end_spec = {
    "rlmesh.compiled._step.SegmentEnd", sizeof(SegmentEnd), 0, Py_TPFLAGS_DEFAULT, end_slots,
};

int add_segment(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&end_spec);
    int failed = !type || PyModule_AddObjectRef(module, "SegmentEnd", type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}
