"""The gate: what is promised to users stays as it was frozen, or changes on purpose.

gate             the gate itself: every part, on any copy of the repository
record           the frozen record under baseline/
surface          what users see of the package, as stubs
source_package   what every public name stands for, read from the source
writer           writes classes and functions as stubs
stubs            reads stubs
comparison       what one version's surface breaks of another's
type_compat      whether all values of one type are values of another
annotations      annotations in one spelling
cli_surface      the command line as stubs
exports          whether api_metadata.json lists what the package exports
space_table      whether the table of spaces says what the code does
wire             what breaks on the wire, as buf finds it
breaks           one break, and how several of one change are reported once
changelog        the line of the changelog that each break needs
"""
