"""The code generator: reads the sources of truth and writes `generated/`.

    schema/*.proto  ──protoc──>  stubs, descriptors ──> model ─┐
    api_metadata.json ─────────────────────────────> metadata ─┴─ rules ──> renderers ──> tree

It is a tool of this repository and is never shipped. Run it with `python -m codegen`.
"""
