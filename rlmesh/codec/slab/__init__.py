"""The values of a space at fixed offsets of one slab, compiled once from the contract.

layout        the layout of a space: `compile_layout` returns its encode and decode
leaves        where each leaf stands, with which dtype and shape
structure     takes a value apart into the values of its leaves, and back
arrays        writes and reads one numeric leaf
texts         writes and reads one text leaf
single_leaf   the layout of a space that is one numeric leaf, in fewer frames
coercion      converts what a user gives to the declared dtype, where that is exact
locate        names the elements of an array that break a rule
violations    what is wrong with a value or a slab: `Violation`, `Deviation`
protocols     the signatures of the compiled functions
"""
