"""The messages of a step as bytes, laid out by hand; protobuf reads and writes the same bytes.

wire        the parts of a message, and the message that asks for a step
result      the result of a step, around the slab of its observation
reset       the result of a reset, around the slab of its observation
plain       both halves of a plain step, each in one call of C
protocols   the signatures of the compiled functions
"""
