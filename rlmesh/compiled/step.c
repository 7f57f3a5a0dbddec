/* The extension `rlmesh.compiled._step`: parts of a step in C; see `rlmesh.compiled`. */

#include "common.h"

static int fill_module(PyObject *module)
{
    if (PyModule_AddStringConstant(module, "DIGEST", RLMESH_DIGEST) < 0 ||
        add_messages(module) < 0 || add_leaves(module) < 0 || add_check(module) < 0 ||
        add_segment(module) < 0 || add_plain(module) < 0 || add_infos(module) < 0)
        return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill_module},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_step", "Parts of a step in C.", 0, NULL, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__step(void) { return PyModuleDef_Init(&definition); }
