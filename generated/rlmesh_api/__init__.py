"""The generated half of RLMesh: message stubs, contract classes and stability tables.

Everything in it is written by `python -m codegen`; nothing is edited by hand.
"""
