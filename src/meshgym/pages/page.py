"""Sections of text, tables and figures as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshgym.errors import MissingDependencyError
from meshgym.pages.figures import style

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Section:
    """Text, then blocks with captions.

    A block is a table (a frame of texts, the first column names the row), a list to fold away (a dictionary), or a
    picture (an SVG, or a data URI).
    """

    title: str
    text: list[str]
    blocks: list[tuple[str, pd.DataFrame | dict[str, str] | str]] = field(default_factory=list)


def to_html(
    title: str,
    sections: Sequence[Section],
    *,
    lead: str = "",
    package: str = "meshgym.pages",
    template: str = "page.html",
) -> str:
    """Return a page that loads nothing from elsewhere and reads well on a phone, by day and by night.

    Args:
        title: of the page.
        sections: in order.
        lead: a sentence below the title.
        package: whose folder ``templates`` has the template.
        template: one that extends ``page.html``, or that itself.

    Raises:
        MissingDependencyError: jinja2 isn't installed.
    """
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingDependencyError("jinja2", "a page", "simulator") from None
    loader = ChoiceLoader([PackageLoader(one) for one in dict.fromkeys((package, "meshgym.pages"))])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    values: dict[str, Any] = {"title": title, "lead": lead, "sections": sections, "colours": style()}
    html: str = environment.get_template(template).render(**values)
    return html
