/* Slabs of a space that is one small numeric leaf: rlmesh/codec/slab/single_leaf.py.

   Each function has one fast way, for a value that is exactly what its space samples, and leaves
   the rest to the function in Python that it stands for. */

#include "common.h"

#define MOST_AXES 8

/* A leaf that is an array. */
typedef struct {
    PyObject_HEAD
    PyObject *ndarray, *empty, *dtype, *shape, *pack, *decode, *too_small;
    Py_ssize_t size, axes, lengths[MOST_AXES];
} ArrayLeaf;

static PyObject *array_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *ndarray, *empty, *dtype, *shape, *pack, *decode, *too_small;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "OOOO!nOOO:ArrayLeaf", &ndarray, &empty, &dtype, &PyTuple_Type,
                          &shape, &size, &pack, &decode, &too_small))
        return NULL;
    Py_ssize_t axes = PyTuple_Size(shape);
    if (axes > MOST_AXES || size < 0) {
        PyErr_Format(PyExc_ValueError, "expected %d axes at most, got %zd", MOST_AXES, axes);
        return NULL;
    }
    ArrayLeaf *self = allocate(type);
    if (!self)
        return NULL;
    self->ndarray = Py_NewRef(ndarray);
    self->empty = Py_NewRef(empty);
    self->dtype = Py_NewRef(dtype);
    self->shape = Py_NewRef(shape);
    self->pack = Py_NewRef(pack);
    self->decode = Py_NewRef(decode);
    self->too_small = Py_NewRef(too_small);
    self->size = size;
    self->axes = axes;
    for (Py_ssize_t axis = 0; axis < axes; axis++)
        self->lengths[axis] = PyLong_AsSsize_t(PyTuple_GetItem(shape, axis));
    if (PyErr_Occurred())
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void array_dealloc(PyObject *of)
{
    ArrayLeaf *self = (ArrayLeaf *)of;
    Py_XDECREF(self->ndarray);
    Py_XDECREF(self->empty);
    Py_XDECREF(self->dtype);
    Py_XDECREF(self->shape);
    Py_XDECREF(self->pack);
    Py_XDECREF(self->decode);
    Py_XDECREF(self->too_small);
    give_back(of);
}

/* Whether a value is a contiguous array of exactly the leaf's dtype and shape: then `view` shows
   it, and is to be released. No error is set. */
static int is_exact(ArrayLeaf *self, PyObject *value, Py_buffer *view)
{
    if ((PyObject *)Py_TYPE(value) != self->ndarray)
        return 0;
    static PyObject *name;
    if (!name && !(name = PyUnicode_InternFromString("dtype")))
        goto refused;
    PyObject *dtype = PyObject_GetAttr(value, name);
    if (!dtype)
        goto refused;
    /* The array holds it for as long as it is compared. */
    Py_DECREF(dtype);
    if (dtype != self->dtype)
        return 0;
    if (PyObject_GetBuffer(value, view, PyBUF_C_CONTIGUOUS) < 0)
        goto refused;
    int exact = view->ndim == self->axes && view->len == self->size;
    for (Py_ssize_t axis = 0; exact && axis < self->axes; axis++)
        exact = view->shape[axis] == self->lengths[axis];
    if (!exact)
        PyBuffer_Release(view);
    return exact;
refused:
    PyErr_Clear();
    return 0;
}

/* Copies a leaf's bytes into a buffer, or only asks whether they fit, where `bytes` is NULL. Raises
   `BufferTooSmallError` where they do not. */
static int fill(ArrayLeaf *self, PyObject *buffer, Py_ssize_t offset, const void *bytes)
{
    Py_buffer target;
    if (PyObject_GetBuffer(buffer, &target, PyBUF_WRITABLE) < 0)
        return -1;
    Py_ssize_t available = target.len - offset;
    int fits = offset >= 0 && available >= self->size;
    if (fits && bytes)
        memcpy((char *)target.buf + offset, bytes, (size_t)self->size);
    PyBuffer_Release(&target);
    if (fits)
        return 0;
    PyObject *sizes = Py_BuildValue("nn", self->size, available);
    if (sizes)
        PyErr_SetObject(self->too_small, sizes);
    Py_XDECREF(sizes);
    return -1;
}

static PyObject *array_encode_into(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    ArrayLeaf *self = (ArrayLeaf *)of;
    /* value, buffer, offset = 0, notes = None */
    if (!takes(count, 2, 4))
        return NULL;
    Py_ssize_t offset = count > 2 ? PyLong_AsSsize_t(args[2]) : 0;
    if (offset == -1 && PyErr_Occurred())
        return NULL;
    Py_buffer view;
    int failed;
    if (is_exact(self, args[0], &view)) {
        failed = fill(self, args[1], offset, view.buf);
        PyBuffer_Release(&view);
    } else {
        if (fill(self, args[1], offset, NULL) < 0)
            return NULL;
        PyObject *notes = count > 3 ? args[3] : Py_None;
        PyObject *packed = PyObject_CallFunctionObjArgs(self->pack, args[0], notes, NULL);
        char *bytes;
        Py_ssize_t size;
        if (!packed)
            return NULL;
        failed = PyBytes_AsStringAndSize(packed, &bytes, &size);
        if (!failed && size != self->size) {
            PyErr_Format(PyExc_ValueError, "expected %zd bytes, got %zd", self->size, size);
            failed = -1;
        }
        if (!failed)
            failed = fill(self, args[1], offset, bytes);
        Py_DECREF(packed);
    }
    return failed ? NULL : PyLong_FromSsize_t(self->size);
}

/* Calls the function in Python with the same arguments. */
static PyObject *otherwise(PyObject *function, PyObject *const *args, Py_ssize_t count,
                           PyObject *names)
{
    PyObject *positional = PyTuple_New(count), *keywords = NULL, *result = NULL;
    if (!positional)
        return NULL;
    for (Py_ssize_t place = 0; place < count; place++)
        PyTuple_SetItem(positional, place, Py_NewRef(args[place]));
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    if (named && !(keywords = PyDict_New()))
        goto done;
    for (Py_ssize_t place = 0; place < named; place++)
        if (PyDict_SetItem(keywords, PyTuple_GetItem(names, place), args[count + place]) < 0)
            goto done;
    result = PyObject_Call(function, positional, keywords);
done:
    Py_DECREF(positional);
    Py_XDECREF(keywords);
    return result;
}

/* What `decode` was given: buffer, offset = 0, nbytes = None, copy = True. Returns 1 if the slab is
   exactly `size` bytes that stand in the buffer, which `view` then shows; 0 if Python must decide,
   and -1 with an error set. */
static int is_whole(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t size,
                    Py_buffer *view, const uint8_t **at)
{
    if (names || count < 1 || count > 4)
        return 0;
    Py_ssize_t offset = count > 1 ? PyLong_AsSsize_t(args[1]) : 0;
    int to_end = count < 3 || args[2] == Py_None;
    Py_ssize_t nbytes = to_end ? 0 : PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred() || PyObject_GetBuffer(args[0], view, PyBUF_SIMPLE) < 0)
        return -1;
    Py_ssize_t available = view->len - offset;
    if (offset < 0 || available < size || (to_end ? available : nbytes) != size) {
        PyBuffer_Release(view);
        return 0;
    }
    *at = (const uint8_t *)view->buf + offset;
    return 1;
}

/* A new array with a slab's values. */
static PyObject *array_of(ArrayLeaf *self, const uint8_t *at)
{
    Py_buffer target;
    PyObject *array = PyObject_CallFunctionObjArgs(self->empty, self->shape, self->dtype, NULL);
    if (array && PyObject_GetBuffer(array, &target, PyBUF_WRITABLE) < 0)
        Py_CLEAR(array);
    if (!array)
        return NULL;
    int fits = target.len == self->size;
    if (fits)
        memcpy(target.buf, at, (size_t)self->size);
    PyBuffer_Release(&target);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the leaf's dtype and shape have another size");
        Py_CLEAR(array);
    }
    return array;
}

static PyObject *array_decode(PyObject *of, PyObject *const *args, Py_ssize_t count,
                              PyObject *names)
{
    ArrayLeaf *self = (ArrayLeaf *)of;
    Py_buffer view;
    const uint8_t *at;
    if (count > 3 && args[3] != Py_True)
        return otherwise(self->decode, args, count, names);
    int whole = is_whole(args, count, names, self->size, &view, &at);
    if (whole <= 0)
        return whole ? NULL : otherwise(self->decode, args, count, names);
    PyObject *array = array_of(self, at);
    PyBuffer_Release(&view);
    return array;
}

static PyMethodDef array_methods[] = {
    {"encode_into", (PyCFunction)(void (*)(void))array_encode_into, METH_FASTCALL, NULL},
    {"decode", (PyCFunction)(void (*)(void))array_decode, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot array_slots[] = {
    {Py_tp_new, array_new},
    {Py_tp_dealloc, array_dealloc},
    {Py_tp_methods, array_methods},
    {0, NULL},
};

static PyType_Spec array_spec = {
    "rlmesh.compiled._step.ArrayLeaf", sizeof(ArrayLeaf), 0, Py_TPFLAGS_DEFAULT, array_slots,
};

/* A leaf that is a scalar of NumPy. */
typedef struct {
    PyObject_HEAD
    PyObject *types, *known, *pack, *decode;
    Integer form;
    /* The number that the first of `known` stands for. */
    int64_t start;
} ScalarLeaf;

static PyObject *scalar_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *types, *known, *pack, *decode;
    Integer form;
    long long start;
    if (!PyArg_ParseTuple(args, "ipO!LO!OO:ScalarLeaf", &form.size, &form.is_signed, &PyTuple_Type,
                          &types, &start, &PyTuple_Type, &known, &pack, &decode))
        return NULL;
    if (form.size != 1 && form.size != 2 && form.size != 4 && form.size != 8) {
        PyErr_Format(PyExc_ValueError, "expected 1, 2, 4 or 8 bytes, got %d", form.size);
        return NULL;
    }
    ScalarLeaf *self = allocate(type);
    if (!self)
        return NULL;
    self->types = Py_NewRef(types);
    self->known = Py_NewRef(known);
    self->pack = Py_NewRef(pack);
    self->decode = Py_NewRef(decode);
    self->form = form;
    self->start = start;
    return (PyObject *)self;
}

static void scalar_dealloc(PyObject *of)
{
    ScalarLeaf *self = (ScalarLeaf *)of;
    Py_XDECREF(self->types);
    Py_XDECREF(self->known);
    Py_XDECREF(self->pack);
    Py_XDECREF(self->decode);
    give_back(of);
}

static PyObject *scalar_encode(PyObject *of, PyObject *const *args, Py_ssize_t count)
{
    ScalarLeaf *self = (ScalarLeaf *)of;
    /* value, notes = None, tail = None */
    if (!takes(count, 1, 3))
        return NULL;
    Py_ssize_t types = PyTuple_Size(self->types);
    for (Py_ssize_t place = 0; place < types; place++) {
        if (PyTuple_GetItem(self->types, place) != (PyObject *)Py_TYPE(args[0]))
            continue;
        uint8_t bytes[8];
        PyObject *number = PyNumber_Index(args[0]);
        if (!number)
            return NULL;
        int in_range = put_integer(self->form, number, bytes);
        Py_DECREF(number);
        if (in_range)
            return PyBytes_FromStringAndSize((char *)bytes, self->form.size);
        break;
    }
    return PyObject_CallFunctionObjArgs(self->pack, args[0], count > 1 ? args[1] : Py_None, NULL);
}

/* The scalar of a slab if it is one of `known`, else NULL without an error. */
static PyObject *known_at(ScalarLeaf *self, const uint8_t *at)
{
    uint64_t bits = 0;
    memcpy(&bits, at, (size_t)self->form.size);
    int unused = 64 - 8 * self->form.size;
    int64_t value = (int64_t)bits;
    if (self->form.is_signed)
        value = (int64_t)(bits << unused) >> unused;
    /* Beyond the first half of an unsigned 64-bit number it is negative here: before `start`. */
    if (value < self->start)
        return NULL;
    uint64_t place = (uint64_t)value - (uint64_t)self->start;
    if (place >= (uint64_t)PyTuple_Size(self->known))
        return NULL;
    return Py_NewRef(PyTuple_GetItem(self->known, (Py_ssize_t)place));
}

static PyObject *scalar_decode(PyObject *of, PyObject *const *args, Py_ssize_t count,
                               PyObject *names)
{
    ScalarLeaf *self = (ScalarLeaf *)of;
    Py_buffer view;
    const uint8_t *at;
    int whole = is_whole(args, count, names, self->form.size, &view, &at);
    if (whole < 0)
        return NULL;
    if (whole) {
        PyObject *value = known_at(self, at);
        PyBuffer_Release(&view);
        if (value)
            return value;
    }
    return otherwise(self->decode, args, count, names);
}

static PyMethodDef scalar_methods[] = {
    {"encode", (PyCFunction)(void (*)(void))scalar_encode, METH_FASTCALL, NULL},
    {"decode", (PyCFunction)(void (*)(void))scalar_decode, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scalar_slots[] = {
    {Py_tp_new, scalar_new},
    {Py_tp_dealloc, scalar_dealloc},
    {Py_tp_methods, scalar_methods},
    {0, NULL},
};

static PyType_Spec scalar_spec = {
    "rlmesh.compiled._step.ScalarLeaf", sizeof(ScalarLeaf), 0, Py_TPFLAGS_DEFAULT, scalar_slots,
};

static PyTypeObject *array_type, *scalar_type;

Py_ssize_t leaf_size(PyObject *leaf)
{
    if (Py_TYPE(leaf) == array_type)
        return ((ArrayLeaf *)leaf)->size;
    return Py_TYPE(leaf) == scalar_type ? ((ScalarLeaf *)leaf)->form.size : -1;
}

int array_put(PyObject *leaf, PyObject *value, uint8_t *at)
{
    Py_buffer view;
    if (Py_TYPE(leaf) != array_type || !is_exact((ArrayLeaf *)leaf, value, &view))
        return 0;
    memcpy(at, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return 1;
}

PyObject *leaf_get(PyObject *leaf, const uint8_t *at)
{
    return Py_TYPE(leaf) == array_type ? array_of((ArrayLeaf *)leaf, at)
                                       : known_at((ScalarLeaf *)leaf, at);
}

int add_leaves(PyObject *module)
{
    if (add_type(module, &array_spec, &array_type) < 0)
        return -1;
    return add_type(module, &scalar_spec, &scalar_type);
}
