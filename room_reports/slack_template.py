"""Message templates of operators: a report in, text in Slack's mrkdwn out. The only module that knows Jinja.

An operator is trusted, the report is not: it holds text of strangers. So a template is a small part of Jinja (text,
`{{ … }}`, `{% if %}`, `{% for %}`, and the filters below; no calls, no macros), all that `{{ … }}` puts in is escaped,
and within `<…>`, where Slack looks for mentions and links, only addresses of ours and harmless characters may be put.
Whatever the report is, it takes a bounded number of steps and makes a bounded text.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import quote

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from room_reports.slack_text import LONGEST_READ, plain
from room_reports.templates import TemplateFault
from room_reports.words import spoken

LONGEST_TEMPLATE = 10_000
LONGEST_VALUE = 300
LONGEST_LINE = 3000
"""Characters of a section, which is never begun in the midst of a line."""

LONGEST_TEXT = 12_000
MOST_TURNS = 2000
"""Turns of all loops together."""

UNKNOWN = "-"
"""What a null shows as."""

STATEMENTS = (nodes.Output, nodes.If, nodes.For)
REFUSED = (nodes.Call, nodes.Pow)
FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "join", "last"),
    *("length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "select"),
    *("selectattr", "sort", "sum", "title", "trim", "truncate", "unique", "upper"),
)
BEGIN, END = "\ue000", "\ue001"
"""Around all that `{{ … }}` puts in, until it is seen where it stands; of private use, so it is no loss elsewhere."""

_TAG = re.compile(r"<([^<>]*)>")
_PUT_IN = re.compile(f"{BEGIN}([^{END}]*){END}")
_OWN_BASE = re.compile(r"https?://[^/]+/\S*")
_HARMLESS = re.compile(r"[\w.~%-]*", re.ASCII)
_BUDGET = " budget"


@dataclass
class _Budget:
    """What one rendering may still use."""

    zone: tzinfo
    turns: int = MOST_TURNS
    links: frozenset[str] = field(default_factory=frozenset)


class SlackTemplate:
    """One template, ready to be used from several threads at once. Raises `TemplateFault` when it is none."""

    def __init__(self, source: str) -> None:
        if not source.strip():
            raise TemplateFault("it is empty")
        if len(source) > LONGEST_TEMPLATE:
            raise TemplateFault(f"it is longer than {LONGEST_TEMPLATE} characters")
        self._source = source.replace(BEGIN, "").replace(END, "")
        self._template = _compiled(self._source)

    def render(self, report: Mapping[str, Any], zone: tzinfo = UTC) -> list[str]:
        """The text for this report, as it is in JSON, in pieces of at most `LONGEST_LINE` characters.

        Raises `TemplateFault` when that does not work.
        """
        links = {report["data"]["links"]["console"]}
        links.update(one["error_url"] for one in report["data"].get("participants") or () if one.get("error_url"))
        budget = _Budget(zone, links=frozenset(links))
        try:
            text = _bounded(self._template.generate({**report, _BUDGET: budget}))
        except TemplateFault as fault:
            raise TemplateFault(str(fault), self._line_of(fault)) from None
        except Exception as error:
            # Its words may repeat what is in the report.
            raise TemplateFault(_problem(error), self._line_of(error)) from None
        return _pieces(_without_marks(self._checked(text, budget.links)))

    def _line_of(self, error: Exception) -> int | None:
        """Where in the template it happened; Jinja puts its lines into the traceback."""
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
        return lines[-1] if lines else None

    def _checked(self, text: str, links: frozenset[str]) -> str:
        """The text, when nothing of a stranger stands where Slack reads a mention or a link."""
        for tag in _TAG.finditer(text):
            if not _is_harmless(tag[1], links):
                typed = re.search(r"<[^<>|]*\{\{", self._source)
                line = self._source.count("\n", 0, typed.start()) + 1 if typed else None
                raise TemplateFault(
                    "puts a value into <…> where a mention or a link would follow from it: a link may be "
                    "data.links.console or error_url, or begin with https://host/ and have values by | urlencode; "
                    "a < that is only a character is written &lt;",
                    line,
                )
        return text


_FILE = "<template>"


def _compiled(source: str) -> Template:
    environment = _Environment()
    try:
        tree = environment.parse(source)
        _restrict(tree)
        code = environment.compile(tree, filename=_FILE)
    except TemplateSyntaxError as error:
        # Jinja's words repeat what was typed, in quotation marks.
        words = re.sub("'.*'", "…", error.message or "")
        raise TemplateFault(f"not a Jinja template: {words[:100]}", error.lineno) from None
    return Template.from_code(environment, code, {})


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja with nothing in it but what a message needs."""

    intercepted_binops = frozenset({"*", "%", "**"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, finalize=_put_in, trim_blocks=True, lstrip_blocks=True)
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in FILTERS}
        own = {"spoken": _spoken, "time": _time, "urlencode": _urlencode, "replace": _replace, _BUDGET: _counted}
        self.filters.update(own)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers only: a text times a number, or with a width in it, may be of any length."""
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise TemplateFault(f"{operator} is for numbers")
        return super().call_binop(context, operator, left, right)


def _restrict(tree: nodes.Template) -> None:
    """Refuses what templates may not have, and has loops be counted."""
    for node in tree.find_all(nodes.Stmt):
        if not isinstance(node, STATEMENTS):
            raise TemplateFault("of {% … %} there are only if and for", node.lineno)
    for refused in tree.find_all(REFUSED):
        word = "calls are not possible, use a filter" if isinstance(refused, nodes.Call) else "** is not possible"
        raise TemplateFault(word, refused.lineno)
    for used in tree.find_all(nodes.Filter):
        if used.name not in {*FILTERS, "spoken", "time", "urlencode", "replace"}:
            raise TemplateFault("this filter is not available", used.lineno)
    for loop in list(tree.find_all(nodes.For)):
        if loop.recursive:
            raise TemplateFault("loops cannot be recursive", loop.lineno)
        loop.iter = nodes.Filter(
            loop.iter, _BUDGET, [], [], None, None, lineno=loop.lineno, environment=tree.environment
        )


def _put_in(value: Any) -> Any:
    """What `{{ … }}` makes of a value: text that does nothing, marked."""
    if isinstance(value, Undefined):
        return value  # which complains by itself
    if value is None:
        text = UNKNOWN
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, float) and value.is_integer():
        text = str(int(value))
    else:
        text = str(value).replace(BEGIN, "").replace(END, "")
    is_link = text.startswith(("https://", "http://"))
    return f"{BEGIN}{plain(text, LONGEST_READ if is_link else LONGEST_VALUE)}{END}"


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    """The same items, while turns are left. Nothing is in a null."""
    budget: _Budget = context[_BUDGET]
    for item in () if items is None else items:
        budget.turns -= 1
        if budget.turns < 0:
            raise TemplateFault(f"its loops take more than {MOST_TURNS} turns")
        yield item


def _spoken(seconds: float | None) -> str | None:
    return None if seconds is None else spoken(round(seconds))


@pass_context
def _time(context: Context, moment: str | None) -> str | None:
    budget: _Budget = context[_BUDGET]
    return None if moment is None else f"{datetime.fromisoformat(moment).astimezone(budget.zone):%Y-%m-%d %H:%M %Z}"


def _urlencode(value: object) -> str:
    return quote("" if value is None else str(value), safe="")


def _replace(value: object, old: str, new: str) -> str | None:
    return None if value is None else str(value)[:LONGEST_READ].replace(old, new)[:LONGEST_READ]


def _bounded(pieces: Iterable[str]) -> str:
    """All pieces as one text; a template that makes far too much is stopped."""
    kept, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > LONGEST_TEXT * 8:
            raise TemplateFault("makes too long a text")
        kept.append(piece)
    return "".join(kept)


_REASONS: Mapping[type[Exception], str] = {
    ZeroDivisionError: "divides by nought",
    TypeError: "does something with a value of a kind that does not allow it, such as null",
}


def _problem(error: Exception) -> str:
    name = type(error).__name__
    if name == "UndefinedError":
        return "uses something that is not there, or a part of null"
    return _REASONS.get(type(error), name)


def _is_harmless(tag: str, links: frozenset[str]) -> bool:
    """Whether what stands between `<` and `>` does what the operator wrote, whatever was put in."""
    # Slack takes the first bar, whoever wrote it; one that was put in shows below.
    target = re.split(rf"\|(?![^{BEGIN}{END}]*{END})", tag, maxsplit=1)[0]
    put_in = _PUT_IN.findall(target)
    if not put_in:
        return True
    if target == f"{BEGIN}{put_in[0]}{END}":
        return "|" not in target and " " not in target and put_in[0] in {plain(link, LONGEST_READ) for link in links}
    own = target.partition(BEGIN)[0]
    return bool(_OWN_BASE.fullmatch(own)) and all(_HARMLESS.fullmatch(one) for one in put_in)


def _without_marks(text: str) -> str:
    return text.replace(BEGIN, "").replace(END, "")


def _pieces(text: str) -> list[str]:
    """The text in as few pieces as go, each of whole lines; what is too much at the end is left out."""
    pieces: list[str] = []
    piece, size = "", 0
    for line in text.strip("\n").split("\n"):
        if _length(line) > LONGEST_LINE:
            raise TemplateFault(f"makes a line longer than {LONGEST_LINE} characters")
        size += _length(line) + 1
        if size > LONGEST_TEXT:
            piece += "\n…"
            break
        if _length(piece) + _length(line) + 3 > LONGEST_LINE:
            pieces.append(piece)
            piece = line
        else:
            piece = f"{piece}\n{line}" if piece else line
    return [piece for piece in (*pieces, piece) if piece.strip()]


def _length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
