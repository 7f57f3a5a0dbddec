"""Whether a model fits an environment: what one gives, the other must take."""

from __future__ import annotations

from rlmesh.contract.differences import ContractDifference
from rlmesh.contract.space_comparison import compare_spaces
from rlmesh.spaces.paths import ROOT
from rlmesh_api.contract import EnvContract, ModelContract

__all__ = ["compare_model_with_env"]


def compare_model_with_env(
    model: ModelContract, env: EnvContract
) -> tuple[ContractDifference, ...]:
    """In what a model differs from what an environment needs, leaf by leaf.

    A difference is breaking where the environment may give an observation that the model refuses,
    or the model an action that the environment refuses. `old` is what the environment says, and
    `new` what the model says.

    Args:
        model: The contract of the model.
        env: The contract of the environment, or of a vector environment whose sub-environments the
            model is to drive.

    Returns:
        The differences, those of observations first; none where the spaces are equal.
    """
    # To the environment a model is what a client is: it takes observations and gives actions.
    return (
        *compare_spaces(
            f"{ROOT}.observation_space", env.observation_space, model.observation_space, "action"
        ),
        *compare_spaces(
            f"{ROOT}.action_space", env.action_space, model.action_space, "observation"
        ),
    )
