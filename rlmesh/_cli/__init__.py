"""The command line: `rlmesh`, `python -m rlmesh` and `python -m rlmesh._cli.serve_env`."""
