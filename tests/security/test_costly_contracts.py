"""A contract of a few bytes that would take gigabytes or hours is refused before it does."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from click.testing import CliRunner

import rlmesh
from rlmesh._cli.main import main
from rlmesh.contract import EnvContract, compare_contracts, cost_of, message_cost, read_contract
from rlmesh.errors import ContractMismatchError, ProtocolError
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh.spaces import (
    Box,
    Dict,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Text,
    Tuple,
    to_gymnasium_space,
)
from rlmesh.spaces.batching import batched_gymnasium_space
from rlmesh_api.contract import Space
from support.contracts import COIN, a_contract
from support.raw_sessions import serving_contract
from support.serving import serving

MEBIBYTE = 1 << 20
SPACE = 32 << 10
# What fuzzing allows for a message.
MOST_TAKEN = 48 * MEBIBYTE
CARTPOLE = read_contract(gymnasium.make("CartPole-v1"))
HUGE = Box(0, 255, (MAX_CONTRACT_BYTES - 16,), "uint8")

# The first two are the smallest of their kind.
COSTLY: dict[str, EnvContract] = {
    "two large boxes": a_contract(id="", observation_space=HUGE, action_space=HUGE),
    "texts of many sub-environments": a_contract(
        id="", vector=True, num_envs=50_000_000, observation_space=Text(1, charset="a")
    ),
    "large boxes of few sub-environments": a_contract(
        vector=True, num_envs=32, observation_space=Box(0.0, 1.0, (4_000_000,))
    ),
    "many sub-environments of a box": a_contract(
        vector=True, num_envs=1_000_000, observation_space=Box(0.0, 1.0, (200,))
    ),
    "a large box of integers": a_contract(
        action_space=Box(-(2**40), 2**40, (100_000_000,), "int64")
    ),
    "a large MultiBinary": a_contract(observation_space=MultiBinary(500_000_000)),
    "many spaces": a_contract(observation_space=Tuple([COIN] * 33_000)),
    "many empty containers": a_contract(observation_space=Tuple([Tuple([])] * 33_000)),
    "texts of many characters": a_contract(
        vector=True,
        num_envs=1000,
        observation_space=Text(1, charset="".join(map(chr, range(0x1000, 0x1000 + 2500)))),
    ),
}


@contextmanager
def taking_little() -> Generator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_TAKEN
    finally:
        tracemalloc.stop()


def client_of(contract: EnvContract) -> Callable[..., Any]:
    return rlmesh.RemoteVectorEnv if contract.vector else rlmesh.RemoteEnv


@pytest.mark.parametrize("contract", COSTLY.values(), ids=COSTLY.keys())
def test_a_contract_that_costs_too_much_is_refused_unmade(contract: EnvContract) -> None:
    needed = cost_of(contract, as_vector=contract.vector)
    refusal = (
        rf"takes about {needed} bytes, and max_contract_bytes allows {MAX_CONTRACT_BYTES}\. "
        rf"If you trust the server, connect with max_contract_bytes={needed}$"
    )
    with (
        serving_contract(contract.to_proto()) as address,
        taking_little(),
        pytest.raises(ProtocolError, match=refusal),
    ):
        client_of(contract)(address)


def test_so_few_bytes_would_cost_so_much() -> None:
    boxes, texts = list(COSTLY.values())[:2]
    assert boxes.to_proto().ByteSize() < 64
    assert texts.to_proto().ByteSize() < 48


# "many empty containers" has as many spaces, and takes a third of the time.
@pytest.mark.parametrize("name", [name for name in COSTLY if name != "many spaces"])
def test_what_is_not_expected_is_refused_for_that(name: str) -> None:
    contract = COSTLY[name]
    with (
        serving_contract(contract.to_proto()) as address,
        taking_little(),
        pytest.raises(ContractMismatchError),
    ):
        client_of(contract)(address, expect=a_contract(vector=contract.vector))


def test_contracts_of_which_one_declares_a_batched_space_are_compared_unmade() -> None:
    batched = Box(0, 255, (2, *HUGE.shape), "uint8")
    old = a_contract(
        vector=True, num_envs=2, observation_space=HUGE, batched_observation_space=batched
    )
    new = a_contract(vector=True, num_envs=2, observation_space=HUGE)
    with taking_little():
        (found,) = compare_contracts(old, new)
    assert found.place == "$.batched_observation_space"
    assert found.breaking


def test_what_is_expected_has_the_limit_too() -> None:
    contract = COSTLY["two large boxes"]
    with (
        serving_contract(contract.to_proto()) as address,
        taking_little(),
        pytest.raises(ProtocolError, match="max_contract_bytes allows"),
    ):
        rlmesh.RemoteEnv(address, expect=contract)


@pytest.mark.parametrize("as_list", [False, True])
def test_the_number_that_the_error_names_is_enough(as_list: bool) -> None:
    with serving(gymnasium.make_vec("CartPole-v1", 2)) as server:
        address: Any = [server.address] if as_list else server.address
        with pytest.raises(ProtocolError, match=r"max_contract_bytes allows 1000\.") as caught:
            rlmesh.RemoteVectorEnv[Any, Any](address, max_contract_bytes=1000)
        needed = max_needed(caught.value)
        with pytest.raises(ProtocolError, match=rf"max_contract_bytes allows {needed}\.") as caught:
            rlmesh.RemoteVectorEnv[Any, Any](address, max_contract_bytes=needed)
        needed = max_needed(caught.value)
        rlmesh.RemoteVectorEnv[Any, Any](address, max_contract_bytes=needed).close()


def max_needed(error: ProtocolError) -> int:
    (number,) = re.findall(r"connect with max_contract_bytes=(\d+)$", str(error))
    return int(number)


def test_a_large_message_is_refused_before_it_is_read() -> None:
    contract = a_contract(id="E" * MEBIBYTE).to_proto()
    # No environment can have it, which would be noticed if it were read.
    contract.num_envs = 0
    needed = message_cost(contract)
    assert needed == 4 * contract.ByteSize()
    with (
        serving_contract(contract) as address,
        pytest.raises(ProtocolError, match=f"connect with max_contract_bytes={needed}$"),
    ):
        rlmesh.RemoteEnv(address, max_contract_bytes=needed - 1)


def test_the_values_of_a_contract_count_more_than_the_rest() -> None:
    contract = a_contract(metadata={"a": [[]] * 1000}).to_proto()
    values = contract.metadata.ByteSize()
    assert message_cost(contract) == 4 * contract.ByteSize() + 12 * values


@pytest.mark.parametrize(
    ("space", "cost"),
    [
        (Box(0, 255, (100,), "uint8"), SPACE + 100 * 4),
        (Box(0.0, 1.0, (10, 10)), SPACE + 100 * 10),
        (Discrete(3), SPACE + 18),
        (MultiBinary(100), SPACE + 100 * 4),
        (MultiDiscrete([2] * 100), SPACE + 100 * 18),
        (Text(3, charset="abc"), SPACE + 3 * 512),
        (Tuple([Discrete(3), Dict({"a": Discrete(3)})]), 4 * SPACE + 2 * 18),
    ],
)
def test_a_space_counts_as_the_page_says(space: Space, cost: int) -> None:
    single = a_contract(observation_space=space)
    coin = SPACE + 18
    assert cost_of(single, as_vector=False) == cost + coin
    vector = a_contract(observation_space=Text(3, charset="abc"), vector=True, num_envs=5)
    assert cost_of(vector, as_vector=True) == (1 + 5) * (SPACE + 3 * 512) + 2 * coin + 4 * 18


@pytest.mark.parametrize(
    "space",
    [
        Box(0, 255, (1 << 18,), "uint8"),
        Box(0.0, 1.0, (1 << 18,)),
        Box(0.0, 1.0, (1 << 18,), "float64"),
        MultiBinary(1 << 18),
        MultiDiscrete([5] * 1000),
        Tuple([COIN] * 50),
        Text(5),
    ],
    ids=lambda space: space.kind,
)
def test_a_space_takes_no_more_than_it_counts(space: Space) -> None:
    contract = a_contract(observation_space=space, vector=True, num_envs=4)
    # What a first use takes once is not the space's.
    batched_gymnasium_space(space, 4)
    tracemalloc.start()
    try:
        made = [to_gymnasium_space(space), batched_gymnasium_space(space, 4)]
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(made) == 2
    assert taken <= cost_of(contract, as_vector=True)


@pytest.mark.parametrize(
    "contract",
    [
        a_contract(
            observation_space=Dict(
                {
                    "camera": Box(0, 255, (1080, 1920, 3), "uint8"),
                    "depth": Box(0.0, 100.0, (1080, 1920)),
                    "joints": Box(-1.0, 1.0, (7,)),
                    "task": Text(1000),
                }
            )
        ),
        a_contract(
            observation_space=Box(0, 255, (100_000_000,), "uint8"),
            action_space=Box(0.0, 1.0, (25_000_000,)),
        ),
        a_contract(
            vector=True,
            num_envs=4096,
            observation_space=CARTPOLE.observation_space,
            action_space=CARTPOLE.action_space,
        ),
        a_contract(vector=True, num_envs=4096, observation_space=Text(100)),
        a_contract(vector=True, num_envs=1024, observation_space=Box(0, 255, (84, 84, 4), "uint8")),
        a_contract(observation_space=Tuple([COIN] * 10_000)),
    ],
    ids=["camera", "100 MB", "4096 CartPoles", "4096 texts", "1024 Ataris", "10000 leaves"],
)
def test_what_environments_have_is_taken(contract: EnvContract) -> None:
    assert cost_of(contract, as_vector=contract.vector) <= MAX_CONTRACT_BYTES
    assert message_cost(contract.to_proto()) <= MAX_CONTRACT_BYTES


@pytest.mark.parametrize("contract", list(COSTLY.values())[:4], ids=list(COSTLY)[:4])
def test_the_commands_show_a_costly_contract(contract: EnvContract, tmp_path: Path) -> None:
    with serving_contract(contract.to_proto()) as address, taking_little():
        source = f"tcp://{address}"
        for command in (
            ["contract", source],
            ["typegen", source, "--output", str(tmp_path / "env.py")],
            ["contract", "diff", source, source],
        ):
            result = CliRunner().invoke(main, command)
            assert result.exit_code == 0, result.output
