"""Settings of the documentation site; `make docs` builds it into site/.

The source folder is the repository itself, so that a link between two Markdown files is right on
the site, in an editor and on a code host alike, and the generated pages are taken in where they
stand.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

# Where the extensions of this site stand.
sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "RLMesh"
author = "The RLMesh authors"
copyright = author
release = metadata.version("rlmesh")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "stability_badges",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "generated/docs/**",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "SECURITY.md",
]
exclude_patterns = [".*", "site", "tests"]
nitpicky = True
# Text between backquotes in a docstring is code, and a link where it names something public.
default_role = "py:obj"
nitpick_ignore_regex = [
    ("py:obj", ".*"),
    # Other packages have their own pages; the build asks no network.
    ("py:.*", r"(collections|gymnasium|np|npt|numpy|os|rich|types|typing)\..*"),
    # The parameters of generic classes, and what is behind a public name.
    ("py:class", r"(rlmesh\.[\w.]+\.)?(ActType|ObsType)"),
    ("py:class", r"rlmesh_api\..*"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"npt.DTypeLike": "numpy.typing.DTypeLike"}
# They are documented where what they import is not installed too.
autodoc_mock_imports = ["jax", "ray", "stable_baselines3", "torch"]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_admonition_for_examples = False
# One parameter a line, where a signature is longer than this.
python_maximum_signature_line_length = 80
# The list beside a page names a method without its class, which stands above it.
toc_object_entries_show_parents = "hide"

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
