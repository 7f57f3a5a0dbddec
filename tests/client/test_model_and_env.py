"""A model is compared with its environment before anything moves: every fault is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

import rlmesh
from rlmesh import adapters as ad
from rlmesh.contract import compare_contracts, compare_model_with_env
from rlmesh.errors import (
    ArgumentTypeError,
    ContractMismatchError,
    InvalidArgumentError,
    InvalidObservationError,
)
from rlmesh.spaces import from_gymnasium_space
from rlmesh_api.contract import EnvContract, ModelContract
from support.contracts import a_contract, a_model_contract
from support.models import working
from support.sample_envs import ScriptedEnv

OBSERVED: dict[str, Any] = {
    "image": Box(0, 255, (8, 8, 3), np.uint8),
    "state": Box(-1, 1, (4,), np.float32),
    "task": Text(20, min_length=1),
    "grip": Discrete(2),
    "legs": MultiDiscrete([3, 4]),
    "lamps": MultiBinary(3),
    "pair": Tuple([Discrete(3), Box(0, 1, (2,))]),
}
ACTED: dict[str, Any] = {"arm": Box(-1, 1, (7,), np.float32), "grip": Discrete(2)}


def contracts(
    observed: dict[str, Any] | None = None, acted: dict[str, Any] | None = None
) -> tuple[ModelContract, EnvContract]:
    """A model of these spaces, and an environment of the usual ones."""
    model, env = (
        {
            "observation_space": from_gymnasium_space(spaces.Dict(one)),
            "action_space": from_gymnasium_space(spaces.Dict(other)),
        }
        for one, other in ((observed or OBSERVED, acted or ACTED), (OBSERVED, ACTED))
    )
    return a_model_contract(**model), a_contract(**env)


def without(parts: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: space for name, space in parts.items() if name != key}


OBSERVATION_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "image dtype": ({"image": Box(0, 1, (8, 8, 3), np.float32)}, "$.observation_space.image"),
    "image size": ({"image": Box(0, 255, (9, 8, 3), np.uint8)}, "$.observation_space.image"),
    "channels first": ({"image": Box(0, 255, (3, 8, 8), np.uint8)}, "$.observation_space.image"),
    "grey": ({"image": Box(0, 255, (8, 8, 1), np.uint8)}, "$.observation_space.image"),
    "no channel axis": ({"image": Box(0, 255, (8, 8), np.uint8)}, "$.observation_space.image"),
    "narrow image": ({"image": Box(0, 100, (8, 8, 3), np.uint8)}, "$.observation_space.image"),
    "state dtype": ({"state": Box(-1, 1, (4,), np.float64)}, "$.observation_space.state"),
    "state size": ({"state": Box(-1, 1, (5,), np.float32)}, "$.observation_space.state"),
    "state bounds": ({"state": Box(0, 1, (4,), np.float32)}, "$.observation_space.state"),
    "state as integers": ({"state": Box(-1, 1, (4,), np.int32)}, "$.observation_space.state"),
    "state as a number": ({"state": Discrete(4)}, "$.observation_space.state"),
    "task too short": ({"task": Text(5, min_length=1)}, "$.observation_space.task"),
    "task never short": ({"task": Text(20, min_length=3)}, "$.observation_space.task"),
    "task charset": (
        {"task": Text(20, min_length=1, charset="ab")},
        "$.observation_space.task",
    ),
    "task as bytes": ({"task": Box(0, 255, (20,), np.uint8)}, "$.observation_space.task"),
    "fewer grips": ({"grip": Discrete(1)}, "$.observation_space.grip"),
    "grips from one": ({"grip": Discrete(2, start=1)}, "$.observation_space.grip"),
    "grip as a box": ({"grip": Box(0, 1, (1,))}, "$.observation_space.grip"),
    "other legs": ({"legs": MultiDiscrete([3, 3])}, "$.observation_space.legs"),
    "more legs": ({"legs": MultiDiscrete([3, 4, 2])}, "$.observation_space.legs"),
    "more lamps": ({"lamps": MultiBinary(4)}, "$.observation_space.lamps"),
    "a longer pair": (
        {"pair": Tuple([Discrete(3), Box(0, 1, (2,)), Discrete(2)])},
        "$.observation_space.pair",
    ),
    "another part of the pair": (
        {"pair": Tuple([Discrete(2), Box(0, 1, (2,))])},
        "$.observation_space.pair[0]",
    ),
}
ACTION_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "arm dtype": ({"arm": Box(-1, 1, (7,), np.float64)}, "$.action_space.arm"),
    "arm size": ({"arm": Box(-1, 1, (6,), np.float32)}, "$.action_space.arm"),
    "arm out of bounds": ({"arm": Box(-2, 2, (7,), np.float32)}, "$.action_space.arm"),
    "more grips": ({"grip": Discrete(3)}, "$.action_space.grip"),
    "grip of another sign": ({"grip": Discrete(2, start=-1)}, "$.action_space.grip"),
}
FAULTS = [
    *(
        (name, {**OBSERVED, **change}, ACTED, where)
        for name, (change, where) in OBSERVATION_FAULTS.items()
    ),
    ("no image", without(OBSERVED, "image"), ACTED, "$.observation_space"),
    ("a second camera", {**OBSERVED, "wrist": OBSERVED["image"]}, ACTED, "$.observation_space"),
    *(
        (name, OBSERVED, {**ACTED, **change}, where)
        for name, (change, where) in ACTION_FAULTS.items()
    ),
    ("no grip", OBSERVED, without(ACTED, "grip"), "$.action_space"),
    ("an action too many", OBSERVED, {**ACTED, "wheel": Discrete(2)}, "$.action_space"),
]


@pytest.mark.parametrize(
    ("observed", "acted", "where"),
    [pytest.param(*fault, id=name) for name, *fault in FAULTS],
)
def test_each_planted_fault_is_named_at_its_leaf(
    observed: dict[str, Any], acted: dict[str, Any], where: str
) -> None:
    differences = compare_model_with_env(*contracts(observed, acted))
    assert where in {each.place for each in differences if each.breaking}


def test_there_are_thirty_planted_faults() -> None:
    assert len(FAULTS) >= 30


def test_equal_spaces_fit() -> None:
    assert compare_model_with_env(*contracts()) == ()


def test_a_model_that_takes_more_and_gives_less_fits() -> None:
    wider = {**OBSERVED, "state": Box(-2, 2, (4,), np.float32), "task": Text(90, min_length=0)}
    narrower = {**ACTED, "arm": Box(-0.5, 0.5, (7,), np.float32)}
    found = compare_model_with_env(*contracts(wider, narrower))
    assert found
    assert not any(each.breaking for each in found)


class Env(ScriptedEnv):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict(OBSERVED)
        self.action_space = spaces.Dict(ACTED)


def faulty() -> Any:
    class Faulty:
        observation_space = spaces.Dict(
            {**OBSERVED, "image": Box(0, 255, (3, 8, 8), np.uint8), "state": Box(0, 1, (4,))}
        )
        action_space = spaces.Dict({**ACTED, "arm": Box(-1, 1, (6,))})

        def predict(self, observation: Any) -> Any:
            raise AssertionError

    return Faulty()


@pytest.mark.parametrize(
    "given",
    [lambda contract, _: contract, lambda _, path: path, lambda *_: Env()],
    ids=["contract", "file", "environment"],
)
def test_the_error_lists_every_difference_before_anything_moves(
    given: Callable[..., Any], tmp_path: Path
) -> None:
    env = contracts()[1]
    path = tmp_path / "env.json"
    path.write_text(env.to_json())
    with working(faulty()) as worker:
        with pytest.raises(ContractMismatchError) as caught:
            rlmesh.RemoteModel(worker.address, env=given(env, path))
    text = str(caught.value)
    for place in ("$.observation_space.image", "$.observation_space.state", "$.action_space.arm"):
        assert place in text
    assert len(caught.value.differences) >= 3


def test_a_client_of_the_environment_says_what_it_is() -> None:
    class Right:
        observation_space = spaces.Dict(OBSERVED)
        action_space = spaces.Dict(ACTED)

        def predict(self, observation: Any) -> Any:
            return self.action_space.sample()

    with rlmesh.EnvServer(Env()) as server, working(Right()) as worker:
        env = rlmesh.RemoteEnv[Any, Any](server.address)
        with rlmesh.RemoteModel(worker.address, env=env) as model:
            assert model.predict(env.observation_space.sample())["arm"].shape == (7,)
        env.close()


class Small:
    """Takes two of the three numbers of its environment, and gives a gripper of another sign."""

    observation_space = Box(-2, 2, (2,))
    action_space = Box(0, 1, (1,))
    horizon = 2

    def predict(self, observation: Any) -> Any:
        return np.abs(observation[:1]) / 2

    def predict_chunk(self, observation: Any, prefix: Any = None) -> Any:
        assert prefix is None
        return np.stack([self.predict(observation)] * 2)


SMALL_ENV = a_contract(
    observation_space=from_gymnasium_space(Box(-1, 1, (3,))),
    action_space=from_gymnasium_space(Box(-1, 1, (1,))),
)
SMALL_STEPS = [
    ad.take([2, 0]),
    ad.scale(2.0),
    ad.gripper(open=(1, -1), closed=(0, 1), on="action"),
]


def test_a_client_with_steps_speaks_as_the_environment_does() -> None:
    seen = np.array([0.5, 7, 0.25], np.float32)
    with working(Small()) as worker:
        with rlmesh.RemoteModel(worker.address, env=SMALL_ENV, steps=SMALL_STEPS) as model:
            assert model.predict(seen).tolist() == model(seen).tolist() == [0.5]
            assert model.predict_chunk(seen).tolist() == [[0.5]] * 2
            assert model.predict_batch(np.stack([seen, -seen])).tolist() == [[0.5]] * 2
            assert model.predict_chunk_batch([seen]).tolist() == [[[0.5]] * 2]
            model.post(seen)
            assert model.take().tolist() == [0.5]
            assert model.observation_space == SMALL_ENV.observation_space
            assert model.action_space == SMALL_ENV.action_space
            with rlmesh.Chunks(model, prefetch=1) as policy:
                policy.reset()
                assert [policy.act(seen).tolist() for _ in range(3)] == [[0.5]] * 3
            with pytest.raises(InvalidArgumentError, match="a prefix cannot be offered"):
                model.predict_chunk(seen, prefix=np.zeros((1, 1), np.float32))
            with pytest.raises(InvalidObservationError, match=r"shape \(3,\), got \(2,\)"):
                model.predict(seen[:2])
            with pytest.raises(InvalidObservationError, match="one observation or more"):
                model.predict_batch([])
            assert model.predict(seen).tolist() == [0.5]
        with rlmesh.RemoteModel(worker.address) as model:
            assert (model.adapter, model.action_space) == (None, worker.model_contract.action_space)


def test_what_is_left_after_the_steps_is_named_at_once() -> None:
    with working(Small()) as worker:
        with pytest.raises(ContractMismatchError) as caught:
            rlmesh.RemoteModel(
                worker.address, env=SMALL_ENV, steps=[ad.scale(3.0), ad.scale(2.0, on="action")]
            )
        assert [(each.place, each.aspect) for each in caught.value.differences] == [
            ("$.observation_space", "shape"),
            ("$.action_space", "bounds"),
        ]
        text = str(caught.value)
        assert "after the steps given:" in text
        assert "$.action_space: bounds: the environment takes -1 to 1, and gets 0 to 2\n" in text
        with pytest.raises(InvalidArgumentError, match="steps= needs env="):
            rlmesh.RemoteModel(worker.address, steps=SMALL_STEPS)


def test_a_model_brings_its_steps_to_a_client_that_names_its_environment() -> None:
    class Brings(Small):
        adaptation = SMALL_STEPS

    with working(Brings()) as worker:
        with rlmesh.RemoteModel(worker.address, env=SMALL_ENV) as model:
            assert model.adapter is not None
            assert model.predict(np.array([0.5, 7, 0.25], np.float32)).tolist() == [0.5]
            # What is adapted already has the spaces of the environment, and brings no steps.
            assert rlmesh.adapt(model, SMALL_ENV, ()).steps == ()
            assert not hasattr(model.adapter.wrap(Brings()), "adaptation")
        with pytest.raises(ContractMismatchError, match="does not fit the environment E-v0:"):
            rlmesh.RemoteModel(worker.address, env=SMALL_ENV, steps=())


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"env": 5}, ArgumentTypeError, "env must be a client"),
        ({"env": SMALL_ENV, "steps": 5}, ArgumentTypeError, "steps must be a sequence"),
        ({"expect": 5}, ArgumentTypeError, "expect must be a ModelContract"),
        ({"expect": "/no/such.json"}, InvalidArgumentError, "cannot be read"),
        ({"model": 5}, ArgumentTypeError, "model must be the name"),
        ({"transport": "pigeon"}, InvalidArgumentError, "transport must be one of"),
        ({"reconnect": 1}, ArgumentTypeError, "reconnect must be True or False"),
    ],
)
def test_a_wrong_argument_is_refused_before_a_connection(
    wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        rlmesh.RemoteModel("tcp://127.0.0.1:9", **wrong)


def test_a_wrong_observation_in_a_list_is_named_with_its_place_in_the_batch() -> None:
    class Right:
        observation_space = spaces.Dict(OBSERVED)
        action_space = Discrete(2)

        def predict(self, observation: Any) -> Any:
            return 1

    good = Right.observation_space.sample()
    wrong: list[tuple[Any, str]] = [
        ({**good, "state": np.zeros(5, np.float32)}, r"\$.state of observation 1: .*\(4,\), got"),
        ({**good, "state": [[0], [0, 1]]}, r"\$.state of observation 1: .*rows of several lengths"),
        ({**good, "more": 1}, r"\$ of observation 1: expected a dict with the keys"),
        ({**good, "pair": (1,)}, r"\$.pair of observation 1: expected a tuple of 2, got 1"),
        ({**good, "task": 5}, r"\$.task"),
        (None, r"\$ of observation 1: expected a dict"),
    ]
    with working(Right()) as worker, rlmesh.RemoteModel(worker.address) as model:
        for each, text in wrong:
            with pytest.raises(InvalidObservationError, match=text):
                model.predict_batch([good, each])
        assert model.predict_batch([good, good]).tolist() == [1, 1]


def test_what_was_expected_of_a_model_is_checked(tmp_path: Path) -> None:
    class Longer:
        observation_space = Box(-1, 1, (2,))
        action_space = Box(-1, 1, (2,))
        horizon = 4

        def predict_chunk(self, observation: Any) -> Any:
            return np.zeros((4, 2), np.float32)

    with working(Longer()) as worker:
        contract = worker.model_contract
        path = tmp_path / "model.json"
        path.write_text(contract.to_json())
        rlmesh.RemoteModel(worker.address, expect=path).close()
        other = ModelContract.from_dict({**contract.to_dict(), "horizon": 8})
        with pytest.raises(ContractMismatchError, match="horizon was 8, is 4"):
            rlmesh.RemoteModel(worker.address, expect=other)
    with pytest.raises(ArgumentTypeError, match="two contracts"):
        compare_contracts(contract, contracts()[1])


def test_a_remote_model_cannot_be_copied() -> None:
    import copy

    with working(faulty()) as worker, rlmesh.RemoteModel(worker.address) as model:
        with pytest.raises(ArgumentTypeError, match="cannot be copied"):
            copy.copy(model)
        assert repr(model) == f"RemoteModel({worker.address!r}, transport='shm')"
