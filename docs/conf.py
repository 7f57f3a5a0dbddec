"""Settings of the documentation site; `make docs` builds it into site/.

The source folder is the repository itself, so that a link between two Markdown files is right on
the site, in an editor and on a code host alike, and the generated pages are taken in where they
stand.
"""

from __future__ import annotations

from importlib import metadata

project = "RLMesh"
author = "The RLMesh authors"
copyright = author
release = metadata.version("rlmesh")

extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["docs/**", "generated/docs/**", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "site", "tests"]
nitpicky = True

# `page.md#a-heading` is checked down to this level.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"RLMesh {release}"
html_static_path = ["_static"]
html_css_files = ["rlmesh.css"]
# Copied to the top of the site: an index.html that leads to docs/index.html.
html_extra_path = ["_root"]
html_copy_source = False
html_show_sourcelink = False

copybutton_prompt_text = "$ "
