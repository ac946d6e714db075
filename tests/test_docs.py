"""The documentation is true to the tree: names, links, tests and commands that it mentions exist.

Each check is a function that returns what is wrong, so that each has a control: a text in which
something *is* wrong.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMIT = 120
TABLE_LIMIT = 160  # of a row that can't be broken

_NAMED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")
_MORE = ("benchmarks/results/README.md", "tests/vectors/README.md")
PAGES = sorted(
    [page for name in (*_NAMED, *_MORE) if (page := ROOT / name).exists()]
    + list((ROOT / "docs").glob("*.md"))
)
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_TEST = re.compile(r"tests/[\w/]+\.py(?:::\w+)?")
_IN_THE_SAME = re.compile(_TEST.pattern + r"|`(::\w+)`")  # `::test` is of the file named last
_PATH = re.compile(r"`((?:edge_node|aggregator|proto|tests|benchmarks|deploy|docs)/[\w./-]*)`")


def long_lines(text: str) -> list[str]:
    """Lines that are too long to read, by number."""
    return [
        f"line {number}: {len(line)} characters"
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > (TABLE_LIMIT if line.lstrip().startswith("|") else LIMIT)
    ]


@pages
def test_lines_are_short(page: Path) -> None:
    """No line is longer than 120 characters; a table's row no longer than 160."""
    assert not long_lines(page.read_text())


def test_a_long_line_is_found() -> None:
    """The control."""
    assert len(long_lines(f"{'x' * 121}\n| {'x' * 158} |\n| {'x' * 150} |\n")) == 2


# Section 3 of docs/design.md: one block a room, one line a module, in reading order.


def layout(text: str) -> list[str]:
    """Every room (`edge_node/data/`) and module (`edge_node/errors`) that section 3 names."""
    section = text.split("\n## 3. ", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]
    named: list[str] = []
    room = ""
    for block in re.findall(r"^```text\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if not line.strip():
                continue
            name = line.split()[0]
            if line[0] == " ":
                named.append(room + name)
            else:
                room = name
                named.append(room)
    return named


def tree() -> set[str]:
    """Every room and module that there is; a room is its `__init__`."""
    files = [f for top in ("edge_node", "aggregator") for f in (ROOT / top).rglob("*.py")]
    names = (str(file.relative_to(ROOT).with_suffix("")) for file in files)
    return {name.removesuffix("__init__") for name in names}


def astray(named: Iterable[str], there: set[str]) -> list[str]:
    """What the section leaves out, invents or says twice."""
    counted = Counter(named)
    return [
        *(f"missing: {name}" for name in sorted(there - set(counted))),
        *(f"not in the tree: {name}" for name in sorted(set(counted) - there)),
        *(f"twice: {name}" for name, times in sorted(counted.items()) if times > 1),
    ]


def test_the_layout_names_every_module() -> None:
    """Section 3 of docs/design.md names all of edge_node and aggregator, and nothing else."""
    wrong = astray(layout((ROOT / "docs/design.md").read_text()), tree())
    assert not wrong, "docs/design.md, section 3:\n" + "\n".join(wrong)


def test_the_layout_says_what_each_is_for() -> None:
    """Each line has a few words beside its name."""
    section = (ROOT / "docs/design.md").read_text().split("\n## 3. ", 1)[1]
    blocks = re.findall(r"^```text\n(.*?)^```", section.split("\n### ", 1)[0], re.M | re.S)
    assert not [line for block in blocks for line in block.splitlines() if len(line.split()) == 1]


def test_a_module_that_is_left_out_or_invented_is_found() -> None:
    """The control."""
    rooms = "a/  a room\n  b  a module\n\na/c/  a room\n  d  another module\n"
    text = f"\n## 3. Rooms\n\n```text\n{rooms}```\n\n## 4. "
    assert layout(text) == ["a/", "a/b", "a/c/", "a/c/d"]
    assert astray(layout(text), {"a/", "a/b", "a/e", "a/c/"}) == [
        "missing: a/e",
        "not in the tree: a/c/d",
    ]
    assert astray(["a/", "a/"], {"a/"}) == ["twice: a/"]


# Tests, files and links that a page names.


def missing_tests(text: str) -> list[str]:
    """Tests that the text names and that don't exist."""
    named: set[str] = set()
    file = ""
    for match in _IN_THE_SAME.finditer(text):
        named.add(file + match[1] if match[1] else match[0])
        file = file if match[1] else match[0].partition("::")[0]
    return sorted(name for name in named if not exists(name))


def exists(name: str) -> bool:
    """Whether there is a file, and in it a function, of that name."""
    path, _, function = name.partition("::")
    if not (ROOT / path).is_file():
        return False
    return not function or function in functions(ROOT / path)


def functions(path: Path) -> set[str]:
    """The names of a module's functions."""
    body = ast.parse(path.read_text()).body
    return {each.name for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


@pages
def test_every_test_that_is_named_exists(page: Path) -> None:
    """What a reader relies on names the test that would fail if it were false."""
    assert not missing_tests(page.read_text())


def test_a_test_that_does_not_exist_is_found() -> None:
    """The control: a file, and a function in a file that there is, or in the one named last."""
    this = "tests/test_docs.py"
    text = f"`{this}`, `::exists`, `::no`, `{this}::nothing`, `tests/test_nothing.py`"
    assert missing_tests(text) == [f"{this}::no", f"{this}::nothing", "tests/test_nothing.py"]


def missing_paths(text: str) -> list[str]:
    """Paths in backticks that don't exist."""
    return sorted(path for path in set(_PATH.findall(text)) if not (ROOT / path).exists())


@pages
def test_every_path_that_is_named_exists(page: Path) -> None:
    """Packages, modules and files."""
    assert not missing_paths(page.read_text())


def test_a_path_that_does_not_exist_is_found() -> None:
    """The control."""
    assert missing_paths("`edge_node/errors.py` `docs/` `edge_node/names.py`") == [
        "edge_node/names.py"
    ]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", _FENCED.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def broken_links(text: str, page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    broken = []
    for link in _LINK.findall(_FENCED.sub("", text)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if (path and not target.exists()) or (
            anchor and anchor not in anchors(target.read_text() if path else text)
        ):
            broken.append(link)
    return broken


@pages
def test_every_link_resolves(page: Path) -> None:
    """Files, and headings in them."""
    assert not broken_links(page.read_text(), page)


def test_a_broken_link_is_found() -> None:
    """The control."""
    text = "# A heading, too\n\n[a](#a-heading-too) [b](#b) [c](README.md) [d](nothing.md)"
    assert broken_links(text, ROOT / "page.md") == ["#b", "nothing.md"]


def test_every_picture_is_shown() -> None:
    """No file of docs/images is left over."""
    text = "".join(page.read_text() for page in PAGES)
    assert not [f for f in (ROOT / "docs/images").iterdir() if f"images/{f.name})" not in text]


def test_every_threat_that_is_defended_names_a_test() -> None:
    """The threat model promises nothing that no test watches."""
    text = (ROOT / "docs/threat-model.md").read_text()
    defended = text.split("\n## Defended\n", 1)[1].split("\n## ", 1)[0]
    threats = re.split(r"^- ", defended, flags=re.MULTILINE)[1:]
    assert len(threats) > 20
    assert not [threat for threat in threats if not re.search(r"`tests/", threat)]
