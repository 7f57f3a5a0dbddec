"""Hand-written modules that are copied verbatim into the generated package.

They hold what the generated classes share, so that generated text has signatures, documentation
and data, and no behaviour of its own. Edit them here; `python -m codegen` copies them.
"""
