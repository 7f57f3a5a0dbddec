"""Sessions: who holds which slot, from the first call of a client to the end.

    manager.py      opens sessions, finds them by their secret, and drains them
    session.py      one session as a state machine
    calls.py        receives a session's calls through a pipe and answers each once
    requests.py     reads a request, and writes where its answer stands
    opening.py      which clients fit, and the answer when there is no place
    admission.py    the places of a server, and the queue for them
    watchdog.py     ends what has lasted longer than the options say
    connections.py  what a session asks of its stream and of the receiver of its calls
    kind.py         what differs between kinds of endpoints
    endpoint.py     what sessions ask of a kind of endpoint: provider, slot, thread, backend

Nothing here knows an environment or a model; `rlmesh.server.envs` and `rlmesh.server.models`
implement what `endpoint.py` asks for.
"""
