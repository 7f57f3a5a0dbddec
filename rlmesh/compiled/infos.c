/* Whether MessagePack's packer writes a value by itself: rlmesh/codec/infos/fast_packing.py. */

#include "common.h"

typedef struct {
    /* The types whose values have no parts, and that of arrays. */
    PyObject *plain, *array;
    /* The bytes from which an array is too large. */
    Py_ssize_t small;
    /* How many elements may still come. */
    Py_ssize_t left;
} Look;

static int looks_plain(Look *look, PyObject *container, Py_ssize_t depth);

/* Whether an array is small and holds no objects; negative with an error set. */
static int fits(Look *look, PyObject *array)
{
    PyObject *number = PyObject_GetAttrString(array, "nbytes");
    Py_ssize_t nbytes = number ? PyLong_AsSsize_t(number) : -1;
    Py_XDECREF(number);
    if (PyErr_Occurred() || nbytes >= look->small)
        return PyErr_Occurred() ? -1 : 0;
    PyObject *dtype = PyObject_GetAttrString(array, "dtype");
    PyObject *objects = dtype ? PyObject_GetAttrString(dtype, "hasobject") : NULL;
    int holds = objects ? PyObject_IsTrue(objects) : -1;
    Py_XDECREF(dtype);
    Py_XDECREF(objects);
    return holds < 0 ? -1 : !holds;
}

static int item_is_plain(Look *look, PyObject *item, Py_ssize_t depth)
{
    PyTypeObject *kind = Py_TYPE(item);
    if (kind == &PyFloat_Type || kind == &PyUnicode_Type || kind == &PyLong_Type ||
        kind == &PyBool_Type || item == Py_None)
        return 1;
    if (kind == &PyDict_Type || kind == &PyList_Type || kind == &PyTuple_Type)
        return looks_plain(look, item, depth - 1);
    if ((PyObject *)kind == look->array)
        return fits(look, item);
    /* A metaclass may have its own hash: this may run any code. */
    return PySet_Contains(look->plain, (PyObject *)kind);
}

static int dict_is_plain(Look *look, PyObject *dict, Py_ssize_t depth)
{
    PyObject *key, *item;
    Py_ssize_t place = 0;
    int plain = 1;
    while (plain > 0 && PyDict_Next(dict, &place, &key, &item)) {
        if (!PyUnicode_CheckExact(key))
            return 0;
        Py_INCREF(item);
        plain = item_is_plain(look, item, depth);
        Py_DECREF(item);
    }
    return plain;
}

/* Negative with an error set. */
static int looks_plain(Look *look, PyObject *container, Py_ssize_t depth)
{
    int is_dict = PyDict_CheckExact(container), is_list = PyList_CheckExact(container);
    look->left -= is_dict ? PyDict_Size(container)
                : is_list ? PyList_Size(container) : PyTuple_Size(container);
    if (look->left < 0 || depth <= 0)
        return 0;
    if (is_dict)
        return dict_is_plain(look, container, depth);
    int plain = 1;
    /* What runs any code may change the list. */
    for (Py_ssize_t place = 0; plain > 0; place++) {
        if (place >= (is_list ? PyList_Size(container) : PyTuple_Size(container)))
            break;
        PyObject *item = is_list ? PyList_GetItem(container, place) : PyTuple_GetItem(container, place);
        Py_INCREF(item);
        plain = item_is_plain(look, item, depth);
        Py_DECREF(item);
    }
    return plain;
}

static PyObject *is_plain(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (!takes(count, 6, 6))
        return NULL;
    PyObject *container = args[0];
    if (!PyDict_CheckExact(container) && !PyList_CheckExact(container) &&
        !PyTuple_CheckExact(container))
        Py_RETURN_FALSE;
    Py_ssize_t depth = PyLong_AsSsize_t(args[1]);
    Look look = {args[3], args[4], PyLong_AsSsize_t(args[5]), PyLong_AsSsize_t(args[2])};
    if (PyErr_Occurred())
        return NULL;
    int plain = looks_plain(&look, container, depth);
    return plain < 0 ? NULL : PyBool_FromLong(plain);
}

static PyMethodDef functions[] = {
    {"is_plain", (PyCFunction)(void (*)(void))is_plain, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int add_infos(PyObject *module) { return PyModule_AddFunctions(module, functions); }
