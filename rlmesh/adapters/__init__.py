"""Bridges between a model and an environment, declared as data and checked when they are made.

`rlmesh.adapt` takes the steps that the functions here make. Each changes the value that stands
`at` a place, of observations on their way to the model or, `on="action"`, of actions on their way
to the environment. A place is a key, an index of a `Tuple`, or several of them on the way down;
none is the whole value. The package knows no network.

    structure_steps, array_steps, image_steps   make the steps
    making            what they share: places, words, numbers
    adapter           `adapt` and `Adapter`
    placement         which steps of a client its worker applies, and what it takes of strangers
    adapted_model     a model behind an adapter
    adapted_values    what goes to a model and comes from it: values, batches, chunks
    histories         what was seen of an episode, for `frame_stack`
    endpoints         the spaces of what is bridged
    compiling         steps compiled for a space, one after the other
    structure, arrays, images, texts, rotations   compile the operations
    boxes             what those share: bounds as arrays
    faults            why a step or a value does not fit
    reading           values as their space declares them
    table             the steps as a table
    wire_bytes        how many bytes values take
"""

from __future__ import annotations

from rlmesh.adapters.adapter import Adapter, adapt
from rlmesh.adapters.array_steps import (
    cast,
    clip,
    gripper,
    normalize,
    normalize_quantiles,
    reshape,
    rotation,
    scale,
    take,
)
from rlmesh.adapters.histories import History
from rlmesh.adapters.image_steps import channel_order, color, crop, pad, resize
from rlmesh.adapters.structure_steps import (
    concatenate,
    extract,
    frame_stack,
    rename,
    select,
    split,
    stack,
    text,
    wrap,
)
from rlmesh_api.contract import Adaptation, AdapterStep

__all__ = [
    "Adaptation",
    "Adapter",
    "AdapterStep",
    "History",
    "adapt",
    "cast",
    "channel_order",
    "clip",
    "color",
    "concatenate",
    "crop",
    "extract",
    "frame_stack",
    "gripper",
    "normalize",
    "normalize_quantiles",
    "pad",
    "rename",
    "reshape",
    "resize",
    "rotation",
    "scale",
    "select",
    "split",
    "stack",
    "take",
    "text",
    "wrap",
]
