"""The code generator: reads the sources of truth and writes `generated/`.

    schema/*.proto  ──protoc──>  stubs, descriptors ──> model ─┐
    api_metadata.json ─────────────────────────────> metadata ─┴─ rules ──> renderers ──> tree

It is a tool of this repository and is never shipped. Run it with `python -m codegen`.

    generate         from the sources of truth to the text of every generated file
    protoc           runs protoc: stubs, and the descriptor set
    descriptors      reads the descriptor set into the model
    model            the schema in memory
    contract_model   which contract classes there are, and how their fields are typed
    metadata         reads api_metadata.json
    rules            what must hold between the sources of truth
    render/          the renderers
    prose            comments as paragraphs and docstrings
    formatting       formats rendered Python
    tree             compares generated text with a folder, and writes it
    runtime/         hand-written modules that are copied into the generated package
    stability/       compares what users see with what was promised
    errors           the one error of the generator
"""
