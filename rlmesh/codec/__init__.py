"""How values, steps and infos are bytes; it knows no network and no environment.

    infos/    any Python object as MessagePack: infos, options, seeds, frames, attributes
    slab/     the values of a space at fixed offsets of one slab, compiled from the contract
    checks/   whether a slab holds only what its space allows, and a policy where it does not
    step/     the messages of a step, laid out by hand around their slab
    vector/   parts of batched values and of batched infos, by sub-environment

A folder imports those above it, never its neighbours: `slab` imports `infos`; `checks`, `step` and
`vector` import both.
"""
