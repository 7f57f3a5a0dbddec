"""The renderers: pure functions, model in, text out.

contract         contract.py: the contract classes and their enums
stability        stability.py: the tables of how stable spaces and exports are
json_schema      the JSON Schema of a contract
schema_pages     the pages about the contract, the protocol and the errors
metadata_pages   the pages about spaces, conformance and exports
markdown         headings and tables of all pages
"""
