"""`rlmesh.adapt`: what does not fit is named when the adapter is made, leaf by leaf."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh import adapters as ad
from rlmesh.adapters import AdapterStep
from rlmesh.contract import (
    ModelContract,
    read_contract,
    read_model_contract,
    received_model_contract,
)
from rlmesh.errors import (
    ArgumentTypeError,
    ContractMismatchError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidModelError,
    InvalidObservationError,
)
from rlmesh.spaces import from_gymnasium_space, to_gymnasium_space
from rlmesh_api.contract import AdapterFlow

_INF = float("inf")


def robot(**changes: Any) -> dict[str, spaces.Space[Any]]:
    """The observations of a robot's environment."""
    return {
        "image": spaces.Box(0, 255, (64, 64, 3), np.uint8),
        "quat": spaces.Box(-1, 1, (4,)),
        "joints": spaces.Box(-3, 3, (6,)),
        "gripper": spaces.Box(0, 1, (1,)),
        "task": spaces.Text(32, charset="abc "),
        **changes,
    }


def policy(**changes: Any) -> dict[str, spaces.Space[Any]]:
    """The observations of a policy."""
    return {
        "pixels": spaces.Box(0, 1, (3, 32, 32)),
        "state": spaces.Box(-4, 4, (10,)),
        "prompt": spaces.Text(64),
        **changes,
    }


STEPS: dict[str, AdapterStep] = {
    "rename": ad.rename({"image": "pixels", "task": "prompt"}),
    "resize": ad.resize(32, 32, at="pixels"),
    "order": ad.channel_order("hwc", "chw", at="pixels"),
    "cast": ad.cast("float32", at="pixels"),
    "scale": ad.scale(1 / 255, at="pixels"),
    "rotation": ad.rotation("quaternion_xyzw", "axis_angle", at="quat"),
    "concatenate": ad.concatenate(["joints", "quat", "gripper"], "state"),
    "split": ad.split({"arm": 6, "grip": 1}, on="action"),
    "gripper": ad.gripper(open=(1, -1), closed=(0, 1), at="grip", on="action"),
    "join": ad.concatenate(["arm", "grip"], on="action"),
}
ACTION = spaces.Box(np.array([-1] * 6 + [0], np.float32), np.ones(7, np.float32))
TAKEN = spaces.Box(-1, 1, (7,))


def made(
    env: dict[str, spaces.Space[Any]] | None = None,
    model: dict[str, spaces.Space[Any]] | None = None,
    *,
    action: spaces.Space[Any] = ACTION,
    taken: spaces.Space[Any] = TAKEN,
    **changes: AdapterStep | None,
) -> ad.Adapter:
    """The adapter, with other spaces and steps than those above."""
    steps = [step for step in (STEPS | changes).values() if step is not None]
    return rlmesh.adapt(
        SimpleNamespace(observation_space=spaces.Dict(model or policy()), action_space=action),
        SimpleNamespace(observation_space=spaces.Dict(env or robot()), action_space=taken),
        steps,
    )


_IMAGE = (64, 64, 3)
# What is planted, and the place and the aspect by which it is named.
FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a missing key": ({"model": policy(depth=spaces.Box(0, 1, (1,)))}, "", "keys"),
    "a key too many": ({"env": robot(depth=spaces.Box(0, 1, (1,)))}, "", "keys"),
    "a key of another name": ({"rename": ad.rename({"image": "pixel"})}, ".pixels", "resize"),
    "a rename of what is not there": ({"rename": ad.rename({"img": "pixels"})}, "", "rename"),
    "two keys of one name": ({"rename": ad.rename({"image": "task"})}, "", "rename"),
    "another dtype of the image": ({"cast": None}, ".pixels", "scale"),
    "no scale": ({"scale": None}, ".pixels", "bounds"),
    "a scale to another range": ({"scale": ad.scale(2 / 255, at="pixels")}, ".pixels", "bounds"),
    "a scale of -1 to 1": ({"scale": ad.scale(2 / 255, -1, at="pixels")}, ".pixels", "bounds"),
    "channels that stand last": ({"order": None}, ".pixels", "shape"),
    "another size": ({"resize": ad.resize(16, 16, at="pixels")}, ".pixels", "shape"),
    "a gray image": (
        {"resize": ad.color("rgb", "gray", at="pixels")},
        ".pixels",
        "shape",
    ),
    "a camera of floats": (
        {"env": robot(image=spaces.Box(0, 1, _IMAGE, np.float64))},
        ".pixels",
        "resize",
    ),
    "a camera of another rank": (
        {"env": robot(image=spaces.Box(0, 255, (2, *_IMAGE), np.uint8))},
        ".pixels",
        "resize",
    ),
    "a state of another length": (
        {"env": robot(joints=spaces.Box(-3, 3, (7,)))},
        ".state",
        "shape",
    ),
    "a state out of bounds": ({"env": robot(joints=spaces.Box(-5, 3, (6,)))}, ".state", "bounds"),
    "a state without bounds": (
        {"env": robot(joints=spaces.Box(-_INF, _INF, (6,)))},
        ".state",
        "bounds",
    ),
    "a state of another dtype": (
        {"env": robot(joints=spaces.Box(-3, 3, (6,), np.float64))},
        "",
        "concatenate",
    ),
    "a rotation of another form": (
        {"rotation": ad.rotation("axis_angle", "euler_xyz", at="quat")},
        ".quat",
        "rotation",
    ),
    "a rotation that stays": ({"rotation": None}, ".state", "shape"),
    "a part that is no array": (
        {"env": robot(gripper=spaces.Discrete(2))},
        ".gripper",
        "concatenate",
    ),
    "a text that may be too long": ({"env": robot(task=spaces.Text(65))}, ".prompt", "length"),
    "a text that may be empty": (
        {"env": robot(task=spaces.Text(9, min_length=0))},
        ".prompt",
        "length",
    ),
    "a character that is unknown": (
        {"model": policy(prompt=spaces.Text(64, charset="ab "))},
        ".prompt",
        "charset",
    ),
    "another kind of space": ({"env": robot(task=spaces.Discrete(3))}, ".prompt", "space"),
    "a gripper of another range": (
        {"gripper": None, "action": spaces.Box(-1, 1, (7,)), "taken": ACTION},
        "",
        "bounds",
    ),
    "a gripper whose sign is kept": (
        {"gripper": ad.gripper(open=(1, 2), closed=(0, 1), at="grip", on="action")},
        "",
        "bounds",
    ),
    "an action of another length": ({"taken": spaces.Box(-1, 1, (8,))}, "", "shape"),
    "an action of another dtype": ({"taken": spaces.Box(-1, 1, (7,), np.float64)}, "", "dtype"),
    "an action out of bounds": ({"action": spaces.Box(-2, 2, (7,))}, "", "bounds"),
    "parts of another size": (
        {"split": ad.split({"arm": 5, "grip": 1}, on="action")},
        "",
        "split",
    ),
    "an environment of choices": ({"taken": spaces.Discrete(7)}, "", "space"),
}
_OF_ACTIONS = ("gripper", "action", "parts", "choices")


def test_what_fits_is_made_and_does_what_its_steps_say() -> None:
    adapter = made()
    observation = {**spaces.Dict(robot()).sample(), "task": "a b"}
    adapted = adapter.observation(observation)
    assert list(adapted) == ["pixels", "prompt", "state"]
    assert to_gymnasium_space(adapter.model_observation_space).contains(adapted)
    action = adapter.action(np.array([0.5] * 6 + [0.0], np.float32))
    assert action.tolist() == [0.5] * 6 + [1.0]
    assert repr(adapter) == "<Adapter of 10 steps: 7 for observations, 3 for actions>"


def test_there_are_thirty_faults_and_more() -> None:
    assert len(FAULTS) >= 30


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_before_the_first_step(name: str) -> None:
    changes, place, aspect = FAULTS[name]
    flow = "action" if any(word in name for word in _OF_ACTIONS) else "observation"
    with pytest.raises(ContractMismatchError) as caught:
        made(**changes)
    found = [(each.place, each.aspect.split(", ")[-1]) for each in caught.value.differences]
    assert (f"$.{flow}_space{place}", aspect) in found
    assert f"$.{flow}_space{place}: " in str(caught.value)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ContractMismatchError) as caught:
        made(env=robot(task=spaces.Text(65)), scale=None, action=spaces.Box(-2, 2, (7,)))
    found = [(each.place, each.aspect) for each in caught.value.differences]
    assert found == [
        ("$.observation_space.pixels", "bounds"),
        ("$.observation_space.prompt", "length"),
        ("$.action_space", "bounds"),
    ]
    message = str(caught.value)
    assert "the model takes 1 to 64, and gets 1 to 65" in message
    assert all(place in message for place, _ in found)


def test_a_step_that_does_not_fit_says_what_it_takes_and_what_it_gets() -> None:
    with pytest.raises(ContractMismatchError) as caught:
        made(cast=None)
    assert str(caught.value) == (
        "the model and the environment do not fit: $.observation_space.pixels: step 4, scale: "
        "expected a Box of floats; put a cast before this step, got Box (3, 32, 32) uint8, 0 to "
        "255. Change the steps, or add what is missing"
    )


def test_contracts_are_taken_and_a_model_brings_its_steps() -> None:
    env = read_contract(gymnasium.make("CartPole-v1"))
    model = ModelContract(
        id="m",
        observation_space=from_gymnasium_space(spaces.Box(-_INF, _INF, (2,), np.float32)),
        action_space=env.action_space,
        horizon=1,
        adaptation=ad.Adaptation(steps=(ad.take([0, 2]),)),
    )
    adapter = rlmesh.adapt(model, env)
    value = np.arange(4, dtype=np.float32)
    assert adapter.observation(value).tolist() == [0.0, 2.0]
    assert adapter.action(np.int64(1)) == 1
    assert type(adapter.action(1)) is np.int64
    again = ModelContract.from_proto(model.to_proto())
    assert rlmesh.adapt(again, env).steps == adapter.steps
    assert ModelContract.from_json(model.to_json()) == model
    with pytest.raises(ContractMismatchError, match=r"shape: the model takes \(2,\), and gets"):
        rlmesh.adapt(model, env, ())


def test_of_a_vector_environment_one_sub_environment_counts() -> None:
    envs = gymnasium.make_vec("CartPole-v1", num_envs=3)
    one = gymnasium.make("CartPole-v1")
    assert rlmesh.adapt(one, envs).observation_space == rlmesh.adapt(one, one).observation_space


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"quat": np.zeros(3)}, r"\$.quat: expected the shape \(4,\), got \(3,\)"),
        ({"task": 3}, r"\$.task: expected a text"),
        ({"gripper": ["a"]}, r"\$.gripper: expected float32, got"),
        ({"more": 1}, r"\$: expected a dict with the keys"),
        (
            {"quat": np.zeros(4)},
            r"\$.observation_space.quat: step 6, rotation: expected a rotation",
        ),
    ],
)
def test_an_observation_of_another_environment_is_refused(
    change: dict[str, Any], detail: str
) -> None:
    adapter = made()
    good = {**spaces.Dict(robot()).sample(), "task": "a"}
    with pytest.raises(InvalidObservationError, match=detail):
        adapter.observation(good | change)
    adapter.observation(good)


def test_an_action_of_another_model_is_refused() -> None:
    with pytest.raises(InvalidActionError, match=r"expected the shape \(7,\), got \(6,\)"):
        made().action(np.zeros(6))


@pytest.mark.parametrize(
    "call",
    [
        lambda: rlmesh.adapt(object(), object()),
        lambda: rlmesh.adapt(TAKEN, TAKEN),
        lambda: made(rename=3),  # type: ignore[arg-type]
        lambda: rlmesh.adapt(gymnasium.make("CartPole-v1"), gymnasium.make("CartPole-v1"), 3),
        lambda: ad.scale("two"),
        lambda: ad.select("image"),
        lambda: ad.resize(2.5, 3),  # type: ignore[arg-type]
        lambda: ad.cast("float32", at=2.5),  # type: ignore[arg-type]
        lambda: ad.rename([("a", "b")]),  # type: ignore[arg-type]
        lambda: ad.rotation(3, "matrix"),  # type: ignore[arg-type]
    ],
)
def test_another_type_is_refused(call: Any) -> None:
    with pytest.raises((ArgumentTypeError, InvalidArgumentError), match=r"must be|must have"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ad.resize(2, 2, method="cubic"), "method must be one of nearest, bilinear"),
        (lambda: ad.scale(1, on="actions"), "on must be one of observation, action"),  # type: ignore[arg-type]
        (lambda: ad.scale(1, at=-1), "indices from 0, got -1"),
        (lambda: ad.rotation("quaternion", "matrix"), "source must be one of quaternion_xyzw"),
        (lambda: ad.cast("complex64"), "cast dtype must be one of bool"),
        (lambda: ad.resize(-1, 2), "the step resize: .*height: expected an integer from 0"),
        (lambda: ad.normalize([[1]], 1), "mean must be a number or numbers in one row"),
        (lambda: ad.gripper(open=(1,), closed=(0, 1)), "open must be a pair"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_word_or_number_is_named(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        call()


@pytest.mark.parametrize(
    ("step", "detail"),
    [
        (ad.scale(0.0), "`factor` that makes a difference: not 0"),
        (ad.scale(float("nan")), "finite in float32 as `factor`"),
        (ad.scale([1.0, 2.0]), "1 or 3 numbers as `factor`, got 2"),
        (ad.normalize(0.0, 0.0), "`deviation` that gives a width above 0"),
        (ad.normalize_quantiles(1.0, 1.0), "`high` that gives a width above 0"),
        (ad.clip(1, 0), "no `low` above its `high`"),
        (ad.cast("int8"), "bounds that int8 holds; put a clip before"),
        (ad.take([3]), "places below 3"),
        (ad.take([]), "one place or more"),
        (ad.reshape((2,)), "a shape of 3 elements"),
        (ad.split({"a": 3}, axis=0), "counted from the end"),
        (ad.split({"a": 2}), "3 together"),
        (ad.split({"a": 3}, axis=-2), "an array of 2 or more axes"),
        (ad.gripper(open=(1, 1), closed=(1, 0)), "`closed` that makes a difference"),
        (ad.gripper(open=(1, 1), closed=(0, 1)), "`target_closed` that makes a difference"),
        (ad.gripper(open=(1, 1), closed=(0, 0), threshold=0), "above 0 and up to 1"),
        (ad.gripper(open=(1, 1), closed=(0, 0), indices=[3]), "places below 3"),
        (ad.extract("a"), "expected a Dict, got Box"),
        (ad.scale(1, at="a"), "a space with the place 'a', got Box"),
        (ad.crop(2, 2), "an image of three axes"),
        (ad.text("{a}", "b"), "expected a Dict"),
        (ad.frame_stack(0), "one frame or more as `frames`, got 0"),
        (ad.frame_stack(2, axis=0), "an axis from -2 to -1 as `axis`, got 0"),
        (ad.frame_stack(2, at="a"), "a space with the place 'a', got Box"),
        (ad.frame_stack(1 << 31), "a result of at most 1073741824 bytes, got 25769803776"),
        (
            dataclasses.replace(ad.frame_stack(2), on=AdapterFlow.ACTION),
            "observations, of which an episode has a history",
        ),
        (ad.rotation("matrix", "axis_angle"), r"last axes are \(3, 3\), as matrix has"),
    ],
)
def test_a_step_whose_numbers_cannot_be_is_named(step: AdapterStep, detail: str) -> None:
    env = SimpleNamespace(
        observation_space=spaces.Box(-200, 200, (3,)), action_space=spaces.Discrete(2)
    )
    with pytest.raises(ContractMismatchError, match=detail):
        rlmesh.adapt(env, env, [step])


@pytest.mark.parametrize("template", ["{", "{task!r}", "{task:>9}", "{}", "{nothing}", "{image}"])
def test_a_template_is_a_text_with_keys(template: str) -> None:
    with pytest.raises(ContractMismatchError, match="step 8, text: expected"):
        made(text=ad.text(template, "prompt"), split=None, gripper=None, join=None)


def test_the_table_shows_what_each_step_gives(capsys: pytest.CaptureFixture[str]) -> None:
    adapter = made()
    adapter.explain()
    printed = capsys.readouterr().out
    assert printed == f"{adapter}\n"
    lines = printed.splitlines()
    assert lines[0] == "observation: env -> model"
    assert "action: model -> env" in lines
    [resize] = [line for line in lines if line.startswith("2  resize")]
    assert resize.split("  ")[2:] != []
    assert "$.pixels: Box (32, 32, 3) uint8, 0 to 255" in resize
    assert resize.endswith("3124")
    for number, step in enumerate(adapter.steps, 1):
        assert any(line.startswith(f"{number:<2} ") and step.name in line for line in lines)


def test_the_halves_meet_where_the_least_crosses() -> None:
    adapter = made()
    client, server = adapter.halves()
    assert [step.name for step in client.steps] == [
        "rename",
        "resize",
        "channel_order",
        "split",
        "gripper",
        "concatenate",
    ]
    assert client.observation_space == server.env_observation_space
    assert client.model_action_space == server.action_space
    observation = {**spaces.Dict(robot()).sample(), "task": "a b"}
    at_once, one_by_one = (
        adapter.observation(observation),
        server.observation(client.observation(observation)),
    )
    assert all(np.array_equal(at_once[key], one_by_one[key]) for key in at_once)
    action = ACTION.sample()
    assert np.array_equal(adapter.action(action), client.action(server.action(action)))


class _Policy:
    """Gives the gripper's place in its observation as actions, and keeps what it was given."""

    observation_space = spaces.Dict(policy())
    action_space = ACTION
    horizon = 2

    def __init__(self) -> None:
        self.seeds: list[int | None] = []

    def reset(self, seed: int | None = None) -> None:
        self.seeds.append(seed)

    def predict(self, observation: Any, context: str = "") -> Any:
        action = np.zeros(7, np.float32)
        action[6] = observation["state"][9]
        return action

    def predict_chunk(self, observation: Any) -> Any:
        return np.stack([self.predict(observation)] * 2)

    def predict_batch(self, observations: Any) -> Any:
        count = len(observations["prompt"])
        rows = [{key: observations[key][i] for key in observations} for i in range(count)]
        return np.stack([self.predict(row) for row in rows])

    def predict_chunk_batch(self, observations: Any) -> Any:
        return np.stack([self.predict_batch(observations)] * 2, axis=1)


def test_a_wrapped_model_stands_before_the_environment() -> None:
    inner = _Policy()
    model = made().wrap(inner)
    assert (model.horizon, model.action_space.shape) == (2, (7,))
    model.reset(seed=3)
    assert inner.seeds == [3]
    observation = {**spaces.Dict(robot()).sample(), "task": "a"}
    observation["gripper"] = np.array([1.0], np.float32)
    assert model.predict(observation, context="c").tolist() == [0] * 6 + [-1]
    assert model.predict_chunk(observation).tolist() == [[0] * 6 + [-1]] * 2
    batch = {
        key: (value, value) if key == "task" else np.stack([value, value])
        for key, value in observation.items()
    }
    assert model.predict_batch(batch).tolist() == [[0] * 6 + [-1]] * 2
    assert model.predict_chunk_batch(batch).tolist() == [[[0] * 6 + [-1]] * 2] * 2
    with pytest.raises(AttributeError):
        _ = model.post_nothing


def test_a_step_that_is_unknown_is_refused_by_its_name() -> None:
    step = ad.scale(2.0)
    data = step.to_dict()
    data["operation"] = {"kind": "sharpen", "by": 2}
    with pytest.raises(ValueError, match=r"kind: expected one of the kinds .*'sharpen'"):
        AdapterStep.from_dict(data)


def test_bounds_that_are_never_reached_are_shown() -> None:
    adapter = made(gripper=None)
    [gripper] = [each for each in adapter.differences if each.place == "$.action_space"]
    assert not gripper.breaking
    line = (
        "$.action_space: bounds: the environment takes -1 to 1, and gets "
        "[-1, -1, -1, -1, -1, -1, 0] to 1"
    )
    assert str(adapter).splitlines()[-1] == line
    assert all(each.place != "$.action_space" for each in made().differences)


def test_a_step_of_a_served_model_that_is_unknown_is_refused_by_its_name() -> None:
    model = ModelContract(
        id="m",
        observation_space=from_gymnasium_space(ACTION),
        action_space=from_gymnasium_space(TAKEN),
        horizon=1,
        adaptation=ad.Adaptation(steps=(ad.scale(2.0), ad.take([0]))),
    )
    message = model.to_proto()
    assert received_model_contract(message) == model
    # A later version has an operation that this one does not know, under its number.
    message.adaptation.steps[1].name = "sharpen"
    message.adaptation.steps[1].operation.Clear()
    message.adaptation.steps[1].operation.MergeFromString(b"\xc2\x3e\x00")
    with pytest.raises(ValueError, match=r"\$.adaptation.steps\[1\]: .*step 'sharpen'"):
        received_model_contract(message)


def test_a_step_that_calls_itself_by_another_name_is_refused() -> None:
    step = dataclasses.replace(ad.scale(2.0), name="clip")
    with pytest.raises(InvalidArgumentError, match="step 1 is named 'clip' and its operation is"):
        rlmesh.adapt(gymnasium.make("CartPole-v1"), gymnasium.make("CartPole-v1"), [step])


def test_a_model_brings_its_steps_in_its_contract() -> None:
    class Brings:
        observation_space = spaces.Box(-1, 1, (2,))
        action_space = spaces.Discrete(2)
        adaptation: Any = (ad.take([0, 2]),)

        def predict(self, observation: Any) -> Any:
            return 0

    contract = read_model_contract(Brings())
    assert contract.adaptation == ad.Adaptation(steps=(ad.take([0, 2]),))
    brings = Brings()
    brings.adaptation = ad.Adaptation(steps=())
    assert read_model_contract(brings).adaptation == ad.Adaptation(steps=())
    [changed] = rlmesh.compare_contracts(contract, read_model_contract(brings))
    assert (changed.place, changed.breaking) == ("$.adaptation", False)
    for wrong in ("take", [1], ad.take([0])):
        brings.adaptation = wrong
        with pytest.raises(InvalidModelError, match="adaptation of Brings must be steps"):
            read_model_contract(brings)


def test_a_served_model_is_adapted_by_its_own_steps() -> None:
    class Sum:
        observation_space = spaces.Box(-_INF, _INF, (2,), np.float32)
        action_space = spaces.Box(-1, 1, (1,), np.float32)
        horizon = 4
        adaptation = (ad.take([0, 2]), ad.scale(2.0, on="action"))

        def predict_chunk(self, observation: Any) -> Any:
            return np.full((4, 1), observation.sum() / 100, np.float32)

    env = SimpleNamespace(
        observation_space=spaces.Box(-9, 9, (3,), np.float32),
        action_space=spaces.Box(-2, 2, (1,), np.float32),
    )
    observation = np.array([1, 50, 4], np.float32)
    with rlmesh.ModelWorker(Sum()) as worker, rlmesh.RemoteModel(worker.address) as remote:
        adapted = rlmesh.adapt(remote, env).wrap(remote)
        assert adapted.predict(observation).tolist() == pytest.approx([0.1])
        with rlmesh.Chunks(adapted, execute=3, prefetch=1) as policy:
            policy.reset(seed=1)
            actions = [policy.act(observation).tolist() for _ in range(7)]
            stats = policy.stats()
        assert actions == [pytest.approx([0.1])] * 7
        # No message for an action that is there.
        assert (stats.asked, stats.executed) == (3, 7)
        assert remote.stats()["predict"].count == 1 + 3
