"""What MkDocs does not do by itself; mkdocs.yml names this file.

- Links out of docs/ lead to pages: a model's card, CONTRIBUTING.md, or the file's text. `FILE.py#equation-7` leads to
  the line of the file that says "Equation 7"; a file that does not say so is an error.
- docs/contributing.md shows CONTRIBUTING.md.
- In docs/reference, `<!-- public names of MODULE -->` stands for the documentation of all that its __all__ lists.
- `kerasfer.load` and the like, set as code, lead to the reference.
- Formulas become MathML, so that they need no script and nothing of another server.
"""

from __future__ import annotations

import ast
import functools
import html
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
CARD = re.compile(r"saved_models/(\w+)/README\.md")
INCLUDED = {"contributing.md": "CONTRIBUTING.md", "README.md": "README.md"}
"""Page of the site -> the file of the checkout that it shows."""

_FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))|(?<=src=\")([^\"]+)(?=\")")
_EQUATION = re.compile(r"#equation-(\d+)")
_PUBLIC_NAMES = re.compile(r"<!-- public names of ([\w.]+)(?: but ([\w, ]+))? -->")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_KEPT = r"<pre\b.*?</pre>|<a\b.*?</a>|<h\d\b.*?</h\d>|<autoref\b.*?</autoref>"
_NAME = re.compile(rf"({_KEPT})|<code>(kerasfer(?:\.\w+)+)(\([^<]*\))?</code>", re.DOTALL)
_MATH = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_LINE = re.compile(r'<a href="([^"#]+)" data-line="(\d+)">')


def page_of(path: str) -> str:
    """The page that shows a file of the checkout: its place in docs/."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if card := CARD.fullmatch(path):
        return f"models/{card[1]}.md"
    for page, file in INCLUDED.items():
        if path == file:
            return page
    return f"source/{path}.md"


def shown_by(page: str) -> str | None:
    """The file of the checkout that a page outside docs/ shows; None for a page of docs/."""
    if page in INCLUDED:
        return INCLUDED[page]
    if page.startswith("models/"):
        return f"saved_models/{page.removeprefix('models/').removesuffix('.md')}/README.md"
    return page.removeprefix("source/").removesuffix(".md") if page.startswith("source/") else None


def outside_code(text: str, change: Any) -> str:
    """Applies a function to a page's text, but for its code blocks."""
    parts, last = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*parts, change(text[last:])])


def targets(text: str, path: str) -> dict[str, str]:
    """The links of a file to others of the checkout: link -> path. Addresses and anchors alone are none."""
    found: dict[str, str] = {}

    def look(prose: str) -> str:
        for match in _LINK.finditer(prose):
            link = match[1] or match[3]
            if "://" not in link and not link.startswith(("mailto:", "#", "data:")):
                found[link] = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        return prose

    outside_code(text, look)
    return found


def source_page(path: str) -> str:
    """A page with a file's text."""
    text = (ROOT / path).read_text(encoding="utf-8")
    language = {".py": "python", ".sh": "sh", ".sbatch": "sh", ".yaml": "yaml", ".json": "json"}.get(Path(path).suffix)
    front = f"---\ntitle: {path}\nsearch:\n  exclude: true\nhide:\n  - toc\n---\n"
    return f'{front}\n# `{path}`\n\n``````{{ .{language or "text"} linenums="1" }}\n{text.rstrip()}\n``````\n'


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that pages of docs/ lead to outside it."""
    waiting = [file.src_uri for file in files if file.is_documentation_page()]
    known = set(waiting)
    while waiting:
        page = waiting.pop()
        path = shown_by(page) or f"docs/{page}"
        if page.startswith("source/"):
            continue
        for target in targets((ROOT / path).read_text(encoding="utf-8"), path).values():
            new = page_of(target)
            if target.startswith(("docs/", "..")) or new in known:
                continue
            if not (ROOT / target).is_file():
                raise PluginError(f"{path}: leads to {target}, which is no file")
            known.add(new)
            waiting.append(new)
            own = new.startswith("source/")
            content = source_page(target) if own else (ROOT / target).read_text(encoding="utf-8")
            files.append(File.generated(config, new, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Leads links to the site's own pages."""
    uri = page.file.src_uri
    if uri.startswith("source/"):
        return markdown
    path = shown_by(uri) or f"docs/{uri}"
    if uri in INCLUDED:
        markdown = (ROOT / path).read_text(encoding="utf-8")
    markdown = _FRONT_MATTER.sub("", markdown)
    known = targets(markdown, path)

    def change(match: re.Match) -> str:
        link, anchor = match[1] or match[3], match[2] or ""
        target = known.get(link)
        if target is None:
            return match[0]
        place = posixpath.relpath(page_of(target), posixpath.dirname(uri) or ".")
        if anchor and page_of(target).startswith("source/"):
            return f"{place}<<{line_of(target, anchor, path)}>>"
        return place + anchor

    text = outside_code(markdown, lambda prose: _LINK.sub(change, prose))
    text = re.sub(r"<<(\d+)>>\)", r"){ data-line=\1 }", text)
    return _PUBLIC_NAMES.sub(public_names, text)


def line_of(target: str, anchor: str, path: str) -> int:
    """The line of a file that an anchor such as "#equation-7" means."""
    equation = _EQUATION.fullmatch(anchor)
    if equation:
        wanted = re.compile(rf"\bEquations? (?:\d+(?:,| and) )*{equation[1]}\b")
        lines = enumerate((ROOT / target).read_text(encoding="utf-8").splitlines(), 1)
        found = [(not re.search(r'# |"""', line), number) for number, line in lines if wanted.search(line)]
        if found:  # rather a comment, or the first line of a docstring, than prose
            return min(found)[1]
    raise PluginError(f"{path}: {target} has no line for {anchor}; anchors of files are #equation-NUMBER")


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """Sets formulas, and leads names to the reference."""

    def name(match: re.Match) -> str:
        if match[1]:
            return match[1]
        return f'<autoref optional identifier="{match[2]}"><code>{match[2]}{match[3] or ""}</code></autoref>'

    def formula(match: re.Match) -> str:
        display = "block" if match[2] == "[" else "inline"
        inner = convert(html.unescape(match[3]).strip(), display=display)
        # Bars around norms as high as the text, whichever has an index; a function's name apart from what it is of.
        inner = re.sub(r"<mo>(&#x02016;|&#x0007C;|\|)</mo>", r'<mo stretchy="false">\1</mo>', inner)
        inner = inner.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em"/>')
        return f'<div class="formula">{inner}</div>' if display == "block" else inner

    content = _LINE.sub(lambda match: f'<a href="{match[1]}#__codelineno-0-{match[2]}">', content)
    return _NAME.sub(name, _MATH.sub(formula, content))


def module_file(name: str) -> Path:
    """The file of a module of kerasfer."""
    place = ROOT.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@functools.cache
def constant(module: str, name: str) -> Any:
    """The value of a module's constant, without importing the module."""
    for statement in ast.parse(module_file(module).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == name:
            return ast.literal_eval(statement.value)
    raise PluginError(f"{module} has no {name}")


def public_names(match: re.Match) -> str:
    """What stands for the documentation of a module's public names."""
    module, but = match[1], {name.strip() for name in (match[2] or "").split(",")}
    lazily = constant("kerasfer", "_PUBLIC")
    names = [name for name in constant(module, "__all__") if name not in but]
    # Functions first, then classes, then errors and constants.
    names.sort(key=lambda name: (name.isupper(), name.endswith("Error"), name[0].isupper()))
    return "\n\n".join(f"::: {'kerasfer' if lazily.get(name) == module else module}.{name}" for name in names)


def on_config(config: Any) -> Any:
    """The site's pages come from the checkout, wherever the command is called."""
    os.chdir(ROOT)
    return config
