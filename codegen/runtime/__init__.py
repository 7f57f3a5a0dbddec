"""Hand-written modules that are copied verbatim into the generated package.

They hold what the generated classes share, so that generated text has signatures, documentation
and data, and no behaviour. Edit them here; `python -m codegen` copies them.

    _records     what every contract class does: read and write JSON data and messages
    _codecs      the values of one field in JSON and on the wire
    _values      plain Python values as `Value` messages and as strict JSON
    _texts       strict JSON text, and the digest of JSON data
    _problems    what is wrong at one place of a tree, in one line
    _depth       how deep messages may stand in each other
    _enums       the enum whose members are texts
    _stability   the classes of the stability tables
"""
