"""Clients that say which contract they expect."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import pytest

import rlmesh
from rlmesh.contract import EnvContract, read_contract
from rlmesh.errors import (
    ArgumentTypeError,
    ContractMismatchError,
    InvalidArgumentError,
    WrongEndpointKindError,
)
from rlmesh.spaces import Discrete
from support.sample_envs import EchoEnv, echo_vector
from support.serving import serving

CARTPOLE = read_contract(gymnasium.make("CartPole-v1"))
NARROWER = dataclasses.replace(CARTPOLE, action_space=Discrete(1), metadata={"render_fps": 1})
WIDER = dataclasses.replace(CARTPOLE, action_space=Discrete(3), render_mode="ansi", metadata={})


@pytest.fixture(scope="module")
def address() -> Generator[str]:
    """Where a CartPole is served."""
    with serving(gymnasium.make("CartPole-v1")) as server:
        yield server.address


def as_it_is(contract: EnvContract, folder: Path) -> Any:
    return contract


def as_a_path(contract: EnvContract, folder: Path) -> Any:
    file = folder / "contract.json"
    file.write_text(contract.to_json())
    return file


def as_text(contract: EnvContract, folder: Path) -> Any:
    return str(as_a_path(contract, folder))


FORMS = pytest.mark.parametrize("form", [as_it_is, as_a_path, as_text])


@FORMS
@pytest.mark.parametrize("expected", [CARTPOLE, NARROWER], ids=["equal", "compatible"])
def test_an_endpoint_that_breaks_nothing_is_driven(
    address: str, tmp_path: Path, form: Callable[..., Any], expected: EnvContract
) -> None:
    with rlmesh.RemoteEnv(address, expect=form(expected, tmp_path)) as env:
        assert env.reset(seed=0)[1] == {}
        assert env.env_contract == CARTPOLE


@FORMS
def test_an_endpoint_that_breaks_what_is_expected_is_refused_with_the_differences(
    address: str, tmp_path: Path, form: Callable[..., Any]
) -> None:
    with pytest.raises(ContractMismatchError) as caught:
        rlmesh.RemoteEnv(address, expect=form(WIDER, tmp_path))
    assert str(caught.value) == (
        f"CartPole-v1 at {address} is not what is expected: $.action_space: values was 0 to 2, is "
        "0 to 1; $.render_mode: render_mode was ansi, is None. Serve what is expected, or adapt to "
        "what is served; `rlmesh contract diff` lists all differences"
    )
    assert caught.value.differences == rlmesh.compare_contracts(WIDER, CARTPOLE)
    assert not all(difference.breaking for difference in caught.value.differences)


def test_a_refused_endpoint_is_free_for_others(address: str) -> None:
    with pytest.raises(ContractMismatchError):
        rlmesh.RemoteEnv(address, expect=WIDER)
    rlmesh.RemoteEnv(address).close()


def test_an_endpoint_of_the_wrong_kind_is_told_so_first(address: str) -> None:
    with pytest.raises(WrongEndpointKindError):
        rlmesh.RemoteVectorEnv(address, expect=WIDER)


def test_a_subclass_may_say_what_it_expects(address: str) -> None:
    class Wider(rlmesh.RemoteEnv[Any, Any]):
        expected_contract: ClassVar[EnvContract | None] = WIDER

    with pytest.raises(ContractMismatchError):
        Wider(address)
    Wider(address, expect=CARTPOLE).close()


@pytest.mark.parametrize("client", [rlmesh.RemoteEnv, rlmesh.RemoteVectorEnv])
def test_what_is_no_contract_is_refused_before_connecting(client: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.json"
    damaged.write_text(CARTPOLE.to_json().replace('"n": 2', '"n": "two"'))
    nobody = f"unix://{tmp_path}/nobody.sock"
    with pytest.raises(ArgumentTypeError, match="path of a file with one, or None, got dict"):
        client(nobody, expect={})
    with pytest.raises(InvalidArgumentError, match="cannot be read: No such file or directory"):
        client(nobody, expect=tmp_path / "none.json")
    with pytest.raises(InvalidArgumentError) as caught:
        client(nobody, expect=damaged)
    assert str(caught.value) == (
        f"{damaged} holds no contract: $.action_space.n: expected an integer from 0 to "
        "18446744073709551615, got 'two'"
    )


def test_a_vector_client_refuses_another_number_of_sub_envs() -> None:
    expected = read_contract(echo_vector("dict", 3))
    with serving(echo_vector("dict", 2)) as server:
        with pytest.raises(ContractMismatchError, match="num_envs was 3, is 2"):
            rlmesh.RemoteVectorEnv(server.address, expect=expected)
        rlmesh.RemoteVectorEnv(server.address, expect=server.env_contract).close()


def test_each_of_several_endpoints_must_be_what_is_expected() -> None:
    expected = read_contract(EchoEnv("dict"))
    with contextlib.ExitStack() as stack:
        first, second, other = (
            stack.enter_context(serving(env)).address
            for env in (EchoEnv("dict"), EchoEnv("dict"), EchoEnv("dict", "ansi"))
        )
        rlmesh.RemoteVectorEnv([first, second], expect=expected).close()
        # What was not rendered and now is breaks nobody; the other way it does.
        rlmesh.RemoteVectorEnv([first, other], expect=expected).close()
        rendered = dataclasses.replace(expected, render_mode="ansi")
        with pytest.raises(ContractMismatchError, match=f"at {second} is not what is expected"):
            rlmesh.RemoteVectorEnv([other, second], expect=rendered)
        rlmesh.RemoteVectorEnv([first, second, other]).close()
