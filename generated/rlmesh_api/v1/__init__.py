"""The messages and services of one version of the schema, as protoc writes them."""
