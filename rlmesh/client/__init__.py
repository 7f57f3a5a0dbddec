"""The client: Gymnasium environments that live behind an address.

From the user down to the wire:

- `env`, `vector_env`: the public clients, `RemoteEnv` and `RemoteVectorEnv`.
- `connect_options`: what their constructors take, checked once; `expected_contract` is a part.
- `vector_endpoints`, `multi_endpoint`: one endpoint or several as one vector environment.
- `sub_env_attributes`: what a vector client knows of its sub-environments without its server.
- `gymnasium_version`: refuses a Gymnasium that is too old.
- `made_by_gymnasium`: what `gymnasium.make_vec` calls for the id of `rlmesh.registration`.
- `env_client`: encodes actions, decodes observations and infos.
- `call_client`: numbers the calls, one at a time, and posts them on the transport.
- `reconnect`: finds another transport when the connection has broken.
- `session`: opens a session, resumes it, and leaves it.
- `connection`: a channel, the stream of a session, and the transport beside the stream.
- `transport_selection`: which of the transports on offer is used.
- `channel`, `connect_diagnosis`: gRPC channels with token and TLS, and why a connection fails.
- `arguments`, `transitions`, `local_spec`: of `reset`, of `step_many`, and of Gymnasium's `spec`.
- `stats`, `status`: what calls have cost, and what a server is doing.
- `probing`: asks an endpoint for its contract, status or health, without a session.
"""
