"""The gate: what is promised to users stays as it was frozen, or changes on purpose."""
