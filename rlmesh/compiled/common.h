/* What the parts of the extension share: arguments, buffers, and lengths as protobuf writes them. */

#ifndef RLMESH_COMMON_H
#define RLMESH_COMMON_H

/* One binary serves every CPython from 3.10 on. */
#define Py_LIMITED_API 0x030A0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* Buffers belong to the stable ABI from Python 3.11 on, and the headers hide them from who asks for
   less. Python 3.10 has the same functions and the same struct, with these fields in this order. */
typedef struct {
    void *buf;
    PyObject *obj;
    Py_ssize_t len;
    Py_ssize_t itemsize;
    int readonly;
    int ndim;
    char *format;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    Py_ssize_t *suboffsets;
    void *internal;
} Py_buffer;

PyAPI_FUNC(int) PyObject_GetBuffer(PyObject *object, Py_buffer *view, int flags);
PyAPI_FUNC(void) PyBuffer_Release(Py_buffer *view);

#define PyBUF_SIMPLE 0
#define PyBUF_WRITABLE 0x0001
/* With shape and strides. */
#define PyBUF_C_CONTIGUOUS 0x0038

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "slabs and messages are little-endian, and so must the machine be"
#endif

/* A field's tag, and its length as a varint of five bytes: INNER in rlmesh/codec/step/wire.py. */
#define INNER 6
/* The tag of the sequence, and the sequence. */
#define PREFIX 9

static inline int sequence_from(PyObject *number, uint64_t *sequence)
{
    *sequence = PyLong_AsUnsignedLongLong(number);
    return !(*sequence == (uint64_t)-1 && PyErr_Occurred());
}

static inline void put_length(uint8_t *at, uint64_t length)
{
    for (int place = 0; place < 4; place++)
        at[place] = (uint8_t)((length >> (7 * place) & 0x7f) | 0x80);
    at[4] = (uint8_t)(length >> 28 & 0x7f);
}

static inline void put_inner(uint8_t *at, uint8_t tag, uint64_t length)
{
    at[0] = tag;
    put_length(at + 1, length);
}

/* Whether that tag and that length stand there. */
static inline int has_inner(const uint8_t *at, uint8_t tag, uint64_t length)
{
    uint8_t expected[INNER];
    put_inner(expected, tag, length);
    return memcmp(at, expected, INNER) == 0;
}

/* Whether a function got as many positional arguments as it takes; else sets a TypeError. */
static inline int takes(Py_ssize_t given, Py_ssize_t least, Py_ssize_t most)
{
    if (given >= least && given <= most)
        return 1;
    PyErr_Format(PyExc_TypeError, "expected %zd to %zd arguments, got %zd", least, most, given);
    return 0;
}

/* Whether so many bytes stand at an offset of a buffer; else sets a ValueError. */
static inline int stands(const Py_buffer *view, Py_ssize_t offset, Py_ssize_t nbytes)
{
    if (offset >= 0 && nbytes >= 0 && nbytes <= view->len && offset <= view->len - nbytes)
        return 1;
    PyErr_Format(PyExc_ValueError, "%zd bytes at offset %zd, in a buffer of %zd bytes", nbytes,
                 offset, view->len);
    return 0;
}

static inline void *allocate(PyTypeObject *type)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return alloc(type, 0);
}

static inline void give_back(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Adds a type to the module, and keeps it in `kept` for as long as the process lives. */
static inline int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **kept)
{
    PyObject *type = PyType_FromSpec(spec);
    if (!type)
        return -1;
    *kept = (PyTypeObject *)type;
    return PyModule_AddObjectRef(module, strrchr(spec->name, '.') + 1, type);
}

/* A number of one, two, four or eight bytes. */
typedef struct {
    int size;
    int is_signed;
} Integer;

static inline PyObject *integer_at(Integer form, const uint8_t *at)
{
    uint64_t bits = 0;
    memcpy(&bits, at, (size_t)form.size);
    if (!form.is_signed)
        return PyLong_FromUnsignedLongLong(bits);
    int unused = 64 - 8 * form.size;
    return PyLong_FromLongLong((int64_t)(bits << unused) >> unused);
}

/* Writes a Python int; returns whether it is in range, with no error set either way. */
static inline int put_integer(Integer form, PyObject *number, uint8_t *at)
{
    int64_t value;
    int unused = 64 - 8 * form.size;
    if (form.is_signed) {
        value = PyLong_AsLongLong(number);
        if (value == -1 && PyErr_Occurred())
            goto refused;
        if ((int64_t)((uint64_t)value << unused) >> unused != value)
            return 0;
    } else {
        value = (int64_t)PyLong_AsUnsignedLongLong(number);
        if (value == -1 && PyErr_Occurred())
            goto refused;
        if ((uint64_t)value << unused >> unused != (uint64_t)value)
            return 0;
    }
    memcpy(at, &value, (size_t)form.size);
    return 1;
refused:
    PyErr_Clear();
    return 0;
}

/* What `plain.c` asks of the other parts. Where they are not of that part's type, 0 or NULL. */

/* The bytes of a leaf's slab; -1 if it is no leaf. */
Py_ssize_t leaf_size(PyObject *leaf);
/* Writes a value that is exactly what an array leaf samples; returns whether it is. Sets no error. */
int array_put(PyObject *leaf, PyObject *value, uint8_t *at);
/* The value of a leaf's slab; NULL without an error where Python must read it. */
PyObject *leaf_get(PyObject *leaf, const uint8_t *at);
/* How many bytes a check reads; -1 if it is no check. */
Py_ssize_t check_size(PyObject *check);
int check_held(PyObject *check, const uint8_t *at);
int is_messages(PyObject *messages);
/* Writes a result around a slab of so many bytes, which stands `RESULT_HEAD` after `at`. */
void put_result(PyObject *messages, uint8_t tag, uint8_t *at, Py_ssize_t slab, double reward,
                int terminated, int truncated);
/* Reads such a result; returns whether it stands there, with a slab of so many bytes and no info. */
int get_result(PyObject *messages, const uint8_t *at, Py_ssize_t slab, double *reward,
               int *terminated, int *truncated);
/* The sequence with which a message begins. */
void put_sequence(PyObject *messages, uint8_t *at, uint64_t sequence);
int has_sequence(PyObject *messages, const uint8_t *at, uint64_t sequence);
/* A step's result before its slab: its tag and length, reward, two flags, the slab's tag and
   length. The one-byte lengths of the numbers count the elements of packed repeated fields. */
#define REWARD_AT (INNER + 2)
#define TERMINATED_AT (REWARD_AT + 8 + 2)
#define TRUNCATED_AT (TERMINATED_AT + 1 + 2)
#define RESULT_HEAD (TRUNCATED_AT + 1 + INNER)

/* Each adds a type, or functions, to the module; negative with an error set where that fails. */
int add_messages(PyObject *module);
int add_leaves(PyObject *module);
int add_check(PyObject *module);
int add_infos(PyObject *module);
int add_plain(PyObject *module);
int add_segment(PyObject *module);

#endif
