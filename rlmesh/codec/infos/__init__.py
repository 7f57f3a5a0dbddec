"""Any Python object as bytes, and back; what cannot travel becomes its text and is listed.

packing          packs infos and other values: `pack`, `pack_info`
unpacking        reads them: `unpack`, `unpack_info`
fast_packing     packs what needs no tree: plain values, as nearly every info has
degrader         makes a tree of what can travel, of any object
degradation      the limits, and the list of what did not arrive as it was
degraded_keys    keys of dicts as they arrive
msgpack_writer   such a tree as bytes
packed_arrays    arrays and scalars of NumPy: a header and raw elements
packed_dtypes    that header
packable_types   the types of values, sorted by how they are packed
foreign_arrays   arrays of PyTorch, JAX and others as NumPy's
bounded_text     texts of any objects, of bounded length
hash_flooding    how many keys of a dict may share one hash
info_keys        the keys that RLMesh adds to an info
plain            values as a contract holds them
type_guards      what a value is, as type checkers narrow by
"""
