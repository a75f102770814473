"""Which SIP URIs a list lets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunx.domain.sip import is_listable, is_listed, is_sip_uri

DESK = "sip:desk@pbx.example.com"


@pytest.mark.parametrize(
    ("uri", "listed", "allowed"),
    [
        (DESK, DESK, True),
        (f"{DESK};transport=tcp", DESK, True),
        (DESK, "sip:*@pbx.example.com", True),
        ("sip:desk@PBX.example.com", "sip:*@pbx.EXAMPLE.com", True),
        ("sip:desk@pbx.example.com:5070", "sip:*@pbx.example.com:5070", True),
        ("sip:desk@pbx.example.com:5070", "sip:*@pbx.example.com", False),
        (DESK, "sip:*@pbx.example.com:5070", False),
        ("sip:Desk@pbx.example.com", DESK, False),
        ("sip:desk@example.com", "sip:*@pbx.example.com", False),
        ("sip:desk@pbx.example.com.evil.example", "sip:*@pbx.example.com", False),
        ("sip:desk2@pbx.example.com", DESK, False),
    ],
)
def test_listed(uri: str, listed: str, allowed: bool) -> None:
    assert is_listable(listed)
    assert is_listed(uri, {listed}) is allowed
    assert is_listed(uri, {"sip:else@where.example", listed}) is allowed
    assert not is_listed(uri, ())


@pytest.mark.parametrize(
    "written", ["", "*", "sip:*", "sip:*@*", "sip:d*@host", f"{DESK};transport=tcp", f"{DESK}\n", f"{DESK},x"]
)
def test_not_listable(written: str) -> None:
    assert not is_listable(written)


@given(st.from_regex(r"sip:.{0,20}@.{0,20}", fullmatch=True))
def test_nothing_that_dial_reads_gets_in(written: str) -> None:
    if is_sip_uri(written):
        assert not set(written) & set(",&|/$?\"'\\ \t\r\n\0()[]{}^")
