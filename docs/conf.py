"""Build the documentation with Sphinx: `make docs`. Nothing is fetched; a dead link or anchor fails the build.

The sources are the Markdown pages that the repository shows, README and CHANGELOG included, so each link means the same
in both places. Why Sphinx: docs/decisions/0017-documentation-site-with-sphinx.md.
"""

from sphinx.application import Sphinx

project = "Commerce Event"
author = "The Commerce Event authors"
copyright = f"{author}, Apache-2.0"

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**.md"]
exclude_patterns = [".venv", ".git", "build", "src", "tests"]
nitpicky = True
myst_heading_anchors = 4  # the anchors of headings are those of a repository's web page
pygments_style = "friendly"
pygments_dark_style = "monokai"
highlight_language = "text"

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
html_additional_pages = {"index": "index.html"}  # leads to docs/index.html
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]

# The menu. It is added when a page is read, because a repository's web page would show a toctree as a block of code.
MENU = {
    "docs/index": {
        "Tutorial": "tutorial/*",
        "How-to guides": "how-to/*",
        "Python SDK": "sdk/index\nsdk/*",
        "Reference": "reference/*",
        "Explanation": "explanation/*",
        "Project": "decisions/README\n/CHANGELOG\n/CONTRIBUTING\n/README",
    },
    "docs/decisions/README": {"Decisions": "0*"},
}


def add_menu(_app: Sphinx, page: str, source: list[str]) -> None:
    """Append the toctrees of a page, one for each section of the menu."""
    for caption, pages in MENU.get(page, {}).items():
        source[0] += f"\n```{{toctree}}\n:caption: {caption}\n:hidden:\n:glob:\n\n{pages}\n```\n"


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_menu)
