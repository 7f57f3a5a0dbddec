"""The environments of a server: made, called and closed, each on one thread.

Folders:
    process: Environments in worker processes (`isolation="process"`).

Modules:
    provider: Where a session gets its environment: one for all, or one for each.
    slot: One environment and its thread.
    thread: The thread; executes calls one after the other.
    backend: The protocol of what a slot's thread calls.
    local: The backend of an environment in this process.
    parallel_backend: The backend of sub-environments in parallel worker processes.
    step: The path of a step, from an action's bytes to an answer's.
    partial_step: Steps some sub-environments of a vector environment.
    episodes: Counts the episodes, for the metrics.
    codecs: Decodes and checks actions, encodes and checks observations.
    infos: Packs infos, and reports in them what RLMesh has to say.
    unreadable: The failure of reading what an environment returned.
    attributes: Attributes that a client may read, set or call.
    autoreset: Gives a session another autoreset mode than the environment's.
    list_vector_env: A list of environments as one vector environment.
    home_thread: Names the thread that made an environment where a library is bound to it.
    timings: How long the calls of a session took.
    options: How each environment is served.
"""
