"""Calls the methods that a model has; those that it has not are derived from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rlmesh.codec.vector.stacking import compile_stack, compile_unstack
from rlmesh.contract.model_reading import CHUNK_METHODS, METHODS, name_taken, takes_context
from rlmesh.server.models.context import ModelContext
from rlmesh_api.contract import ModelContract

Call = Callable[[Any, Any], Any]
"""A method: given the observation, or a stack of them, and the context, or a list of them."""


class ModelCaller:
    """Asks a model for the actions, or the chunks, of several observations.

    All methods run on the model's thread.

    Args:
        model: The model; `read_model_contract` has accepted it.
        contract: Its contract.
    """

    def __init__(self, model: Any, contract: ModelContract) -> None:
        self.model: Any = model
        self._horizon = contract.horizon
        self._stack = compile_stack(contract.observation_space)
        self._stack_actions = compile_stack(contract.action_space)
        self._unstack = compile_unstack(contract.action_space)
        self._methods: dict[str, Call] = {
            name: _given(name, method)
            for name in METHODS
            if callable(method := getattr(model, name, None))
        }
        if not self._methods:
            self._methods["predict"] = _given("predict", model)
        # For actions, and for chunks.
        self._single = tuple(self._single_method(chunk=chunk) for chunk in (False, True))
        self._batch = tuple(self._batch_method(chunk=chunk) for chunk in (False, True))

    def batches(self, *, chunk: bool) -> bool:
        """Whether several observations are computed in one call of the model."""
        return self._batch[chunk] is not None

    def ask(
        self, observations: Sequence[Any], contexts: Sequence[ModelContext], *, chunk: bool
    ) -> list[Any]:
        """The action, or the chunk, for each observation.

        Args:
            observations: The observations, one or more.
            contexts: The context of each.
            chunk: Whether chunks are wanted.

        Raises:
            Violation: If what the model returned has not as many parts as it should.
            BaseException: What the model raises.
        """
        single, batch = self._single[chunk], self._batch[chunk]
        if single is not None and len(observations) == 1:
            return [single(observations[0], contexts[0])]
        if batch is None:
            ask = single or self._methods["predict"]
            return [
                ask(each, context) for each, context in zip(observations, contexts, strict=True)
            ]
        returned = batch(self._stack(observations), list(contexts))
        return self._unstack(returned, len(observations))

    def _single_method(self, *, chunk: bool) -> Call | None:
        methods = self._methods
        if chunk:
            whole = methods.get("predict_chunk")
            if whole is not None or "predict_chunk_batch" in methods:
                return whole
            predict = methods.get("predict")
            # The horizon is 1: a chunk is one action.
            return None if predict is None else self._chunk_of(predict)
        predict = methods.get("predict")
        if predict is not None or "predict_batch" in methods:
            return predict
        whole = methods.get("predict_chunk")
        return None if whole is None else self._first_of(whole)

    def _batch_method(self, *, chunk: bool) -> Call | None:
        methods = self._methods
        actions, chunks = methods.get("predict_batch"), methods.get("predict_chunk_batch")
        if chunk:
            if chunks is not None or "predict_chunk" in methods:
                return chunks
            return None if actions is None else self._chunks_of(actions)
        if actions is not None or "predict" in methods:
            return actions
        return None if chunks is None else self._firsts_of(chunks)

    # The methods that a model has not.

    def _chunk_of(self, predict: Call) -> Call:
        return lambda value, context: self._stack_actions([predict(value, context)])

    def _first_of(self, predict_chunk: Call) -> Call:
        return lambda value, context: self._first(predict_chunk(value, context))

    def _chunks_of(self, predict_batch: Call) -> Call:
        def predict_chunk_batch(values: Any, contexts: Any) -> Any:
            actions = self._unstack(predict_batch(values, contexts), len(contexts))
            return self._stack_actions([self._stack_actions([each]) for each in actions])

        return predict_chunk_batch

    def _firsts_of(self, predict_chunk_batch: Call) -> Call:
        def predict_batch(values: Any, contexts: Any) -> Any:
            chunks = self._unstack(predict_chunk_batch(values, contexts), len(contexts))
            return self._stack_actions([self._first(each) for each in chunks])

        return predict_batch

    def _first(self, chunk: Any) -> Any:
        return self._unstack(chunk, self._horizon)[0]


def _given(name: str, method: Any) -> Call:
    """A method that is given its context, and what a client offers, only where it takes them."""
    context_name = takes_context(method)
    offered: dict[str, str] = {}
    if name in CHUNK_METHODS:
        offered = {
            taken: argument
            for argument in ("prefix", "delay")
            if (taken := name_taken(method, argument)) is not None
        }
    if not offered:
        if context_name is None:
            return lambda value, _: method(value)
        return lambda value, context: method(value, **{context_name: context})

    many = name == "predict_chunk_batch"

    def call(value: Any, context: Any) -> Any:
        given = {} if context_name is None else {context_name: context}
        for taken, argument in offered.items():
            given[taken] = (
                [getattr(each, argument) for each in context]
                if many
                else getattr(context, argument)
            )
        return method(value, **given)

    return call


def call_with_context(method: Any, context: ModelContext) -> Any:
    """Calls a method without an observation, with the context where it takes one."""
    name = takes_context(method)
    return method() if name is None else method(**{name: context})
