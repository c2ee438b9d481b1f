"""The pages of this repository as a site with search: `./dev python tasks/42-site/build.py FOLDER`.

The pages link to each other by their place in the repository, so the site keeps these places.
The menu is docs/README.md: its headings, and the pages under each.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "conventions", "docs")
CONFIG = """\
[project]
site_name = "zf"
site_description = "A task runner whose every run leaves a proof that an auditor can check"
docs_dir = "pages"
site_dir = "site"
nav = {nav}

[project.theme]
font = false
features = ["navigation.footer", "navigation.indexes", "content.code.copy", "search.highlight"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
"""


# The second word of a block of YAML is for the tests. The site would see no block there, and no
# heading from it to the next block.
FENCE = re.compile(r"^( *```yaml) \w+$", re.MULTILINE)


def menu() -> str:
    """The site's menu as a TOML array: what docs/README.md lists, under its headings."""
    sections: dict[str, list[str]] = {"zf": ['"README.md"', '"docs/tutorial.md"', '"CHANGELOG.md"']}
    title = ""
    for line in (ROOT / "docs" / "README.md").read_text().splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
            continue
        for page in re.findall(r"\]\(([\w./-]+\.md)\)", line) if title else ():
            place = (ROOT / "docs" / page).resolve().relative_to(ROOT)
            sections.setdefault(title, []).append(json.dumps(str(place)))
    rows = (f"{{{json.dumps(name)} = [{', '.join(pages)}]}}" for name, pages in sections.items())
    return f"[{', '.join(rows)}]"


def build(target: Path) -> None:
    """Build the site into `target`; CalledProcessError when a page has a warning."""
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch)
        (stage / "pages").mkdir()
        for name in PAGES:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, stage / "pages" / name)
        for page in (stage / "pages").rglob("*.md"):
            page.write_text(FENCE.sub(r"\1", page.read_text()))
        (stage / "zensical.toml").write_text(CONFIG.format(nav=menu()))
        subprocess.run(["zensical", "build", "--strict"], cwd=stage, check=True)
        found = (stage / "site" / "search.json").read_text()
        if "What a run proves" not in found:
            raise SystemExit("the search index does not know the pages")
        shutil.copytree(stage / "site", target)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
