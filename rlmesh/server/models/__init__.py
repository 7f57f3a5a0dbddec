"""The models of a server: each called on one thread, for many sessions at once.

Modules:
    provider: Where a session gets its slot, and where the models are.
    served_model: One model and its versions.
    version: One version and its thread: warms it up, closes it.
    batcher: Gathers the requests of sessions, and has the model answer them together.
    caller: Calls the methods that a model has, for those that it has not too.
    context: What a model is given besides an observation.
    slot: The slot of one session, and its thread.
    backend: Answers the calls of one session.
    codecs: Decodes and checks observations, encodes and checks actions.
    adapted_codecs: The same where steps that the client has sent stand before and after that.
    options: How models are served.
"""
