"""The serving side. Requests flow from `rpc` through `sessions` to `envs`.

Folders:
    rpc: The gRPC server: binding, authentication, streams, listeners of the other transports.
    sessions: One client's hold on an environment; knows no environment itself.
    envs: The environments: each in a slot with the one thread that calls it.

Modules:
    env_server: `EnvServer`, the public class; puts the parts below together.
    server_options: Checks the arguments of `EnvServer` and passes them on whole.
    options: `ServeOptions`: when calls, sessions and the server end.
    lifecycle: Begins a server once and ends it once, whatever the reason.
    signals: Listens to SIGINT and SIGTERM while a server has the main thread.
    status: What the server does at this moment, for `GetStatus`.
    failures: What goes wrong, as messages to clients.
    latch: An event that a signal handler may set.
"""
