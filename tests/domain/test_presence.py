"""Local presence: which of our numbers looks like home to the one who is called."""

import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunx.domain.presence import Nearness, _north_america, nearness, place


@pytest.mark.parametrize(
    ("to", "did", "near"),
    [
        ("+12125551234", "+12125550100", "AREA"),
        ("+12125551234", "+13325550100", "NEIGHBOUR"),  # an overlay, too new to have towns in the tables
        ("+13325551234", "+16465550100", "NEIGHBOUR"),
        ("+13105551234", "+13235550100", "NEIGHBOUR"),  # both have exchanges in Beverly Hills
        ("+17145551234", "+16575550100", "NEIGHBOUR"),
        ("+12125551234", "+17165550100", "STATE"),  # Buffalo
        ("+14155551234", "+19495550100", "STATE"),
        ("+12365551234", "+12505550100", "NEIGHBOUR"),
        ("+14165551234", "+19025550100", "COUNTRY"),
        ("+14155551234", "+12125550100", "COUNTRY"),
        ("+12015551234", "+12125550100", "COUNTRY"),  # over the river, and another state
        ("+14155551234", "+14165550100", "ELSEWHERE"),  # Toronto
        ("+17875551234", "+19395550100", "NEIGHBOUR"),
        ("+18005551234", "+14155550100", "COUNTRY"),
        ("+442079460000", "+442012345678", "AREA"),
        ("+442079460000", "+441212345678", "COUNTRY"),
        ("+447400123456", "+447400123457", "COUNTRY"),  # mobile telephones are at home nowhere
        ("+4930123456", "+4930765432", "AREA"),
        ("+4930123456", "+4989765432", "COUNTRY"),
        ("+917172412345", "+912362212345", "STATE"),  # Chandrapur and Kudal, both in Maharashtra
        ("+4930123456", "+33123456789", "ELSEWHERE"),
        ("anonymous", "+14155550100", "ELSEWHERE"),
        ("", "", "ELSEWHERE"),
    ],
)
def test_nearness(to: str, did: str, near: str) -> None:
    assert nearness(place(to), place(did)).name == near


NUMBERS = st.one_of(
    st.integers(2_000_000_000, 9_999_999_999).map("+1{}".format),
    st.from_regex(r"\+(44|49|33|81)[1-9][0-9]{7,9}", fullmatch=True),
    st.text(max_size=16),
)


@given(NUMBERS, NUMBERS)
def test_it_is_as_far_back_as_it_is_there(one: str, other: str) -> None:
    there, here = place(one), place(other)
    assert nearness(there, here) == nearness(here, there)
    if there.country and there.area:
        assert nearness(there, there) == Nearness.AREA


def test_every_geographic_area_code_of_north_america_has_its_state() -> None:
    states = _north_america().states
    nowhere = {"500", "521", "522", "523", "524", "525", "526", "527", "528", "529", "532", "533", "544"}
    nowhere |= {
        "566",
        "577",
        "588",
        "600",
        "622",
        "633",
        "800",
        "833",
        "844",
        "855",
        "866",
        "877",
        "888",
        "900",
    }
    for code in map(str, range(200, 1000)):
        number = phonenumbers.parse(f"+1{code}2345678")
        if phonenumbers.region_code_for_number(number) in ("US", "CA") and code not in nowhere:
            assert states[code], code
    assert (states["415"], states["657"], states["310"], states["416"], states["257"]) == (
        *("CA", "CA", "CA", "ON"),
        "BC",
    )


def test_codes_that_stand_beside_each_other_are_of_one_state() -> None:
    """A check of our table of overlays against the tables of `phonenumbers`."""
    states, beside = _north_america()
    for code, others in beside.items():
        assert code not in others
        for other in others:
            assert code in beside[other]
            assert states[code] == states[other], (code, other)
            assert place(f"+1{code}2345678").country == place(f"+1{other}2345678").country, (code, other)


def test_the_whole_world_s_tables_are_not_kept() -> None:
    """The geocoder's package would take 97 MB; measured in a process of its own."""
    measure = """
import sys
import trunx.domain.presence as presence

def kilobytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4

before = kilobytes()
assert [presence.place(did).area for did in ("+14155551234", "+442079460000")] == ["415", "London"]
assert "phonenumbers.geodata" not in sys.modules
print(kilobytes() - before)
"""
    done = subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30_000
