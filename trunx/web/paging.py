"""Lists: newest first, one page at a time; `next` of one page is the `cursor` of the following one."""

from typing import Annotated

from pydantic import Field

from trunx.domain.records import Page
from trunx.web.models import AnswerBody, RequestQuery

MAX_LIMIT = 200


class PageQuery(RequestQuery):
    """Which page of a list."""

    limit: int = Field(default=50, ge=1, le=MAX_LIMIT, description="How many at most.")
    cursor: str | None = Field(default=None, description="`next` of the page before.")

    def page(self) -> Page:
        """The page asked for."""
        return Page(self.limit, self.cursor)


class Listing(AnswerBody):
    """A page; the rows stand beside these two under their own name."""

    count: int = Field(description="How many are on this page.")
    next: Annotated[str | None, Field(description="Cursor of the following page; null on the last.")]
