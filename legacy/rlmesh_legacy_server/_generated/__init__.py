"""What `python -m codegen` writes of the schema; nothing is edited by hand."""
