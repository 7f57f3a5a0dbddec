"""Values of spaces on their way: layouts, conformance, and the packing of infos."""
