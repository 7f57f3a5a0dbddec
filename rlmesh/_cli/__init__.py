"""The command line: `rlmesh`, `python -m rlmesh` and `python -m rlmesh._cli.serve_env`.

Commands:
    main: The group `rlmesh`.
    serve: `serve` and its options.
    serve_env: The same for supervisors, as a module.
    serve_model: `serve-model`.
    asking: `contract`, `status` and `wait`.
    contract_diff: `contract diff`.
    top: `top`.
    typegen: `typegen`.
    evaluate: `evaluate`.
    compare: `compare`.
    record_show: `record show`.
    replay: `replay`.
    export: `export`.
    demo: `demo`.

Serving:
    serving: Serves one environment, or models, for the life of the process.
    loading: Makes the environment or the model that the command line names.
    readiness: Writes the address to `--ready-fd`.
    signals: SIGINT and SIGTERM for a whole command.

The demo:
    demonstration: What `demo` does and shows.
    server_process: A server in its own process.
    episodes: Drives episodes with random actions, and counts.

Shared:
    arguments: Reads the command line into exact types.
    failure: Shows failures on one line.
    console: Output for people.
    output: Output that waits for no reader, for the commands that serve.
    contract_source, contract_table: Where a contract comes from; how it is shown.
    status_table: How a server's status is shown.
"""
