"""One form for a number, whatever a carrier or a user writes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunx.domain.number import e164

PRINTED = st.text("0123456789+-(). /\t\u00a0", max_size=42)


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("+19495551234", "US", "+19495551234"),
        ("19495551234", "US", "+19495551234"),
        ("9495551234", "US", "+19495551234"),
        (" 19495551234", "US", "+19495551234"),  # what becomes of `?did=+1949...` in a URL
        ("+1 (949) 555-1234", "US", "+19495551234"),
        ("949.555.1234", "US", "+19495551234"),
        ("949/555 1234", "US", "+19495551234"),
        ("011 44 20 7946 0000", "US", "+442079460000"),
        ("442079460000", "US", "+442079460000"),
        ("+44 (0)20 7946 0000", "US", "+442079460000"),
        ("4915112345678", "US", "+4915112345678"),
        # Ten digits in North America are a number there, whatever else they would be abroad.
        ("6465551234", "US", "+16465551234"),  # Manhattan, not New Zealand
        ("6045551234", "CA", "+16045551234"),  # Vancouver, not Malaysia
        ("3105551234", "US", "+13105551234"),  # Los Angeles, not the Netherlands
        # With a trunk prefix national numbers are known by it.
        ("015112345678", "DE", "+4915112345678"),
        ("4915112345678", "DE", "+4915112345678"),
        ("0033123456789", "DE", "+33123456789"),
        ("33123456789", "DE", "+33123456789"),  # Paris, not Potsdam
        ("19495551234", "DE", "+19495551234"),
        ("02079460000", "GB", "+442079460000"),
        ("0612345678", "FR", "+33612345678"),
        ("89161234567", "RU", "+79161234567"),
        # Without one they come as they are.
        ("912345678", "ES", "+34912345678"),
        ("34912345678", "ES", "+34912345678"),
        ("0612345678", "IT", "+390612345678"),
        ("81234567", "SG", "+6581234567"),
        # A range that is newer than our tables is a number all the same.
        ("+4917900000000", "US", "+4917900000000"),
        ("+19495551234", "nowhere", "+19495551234"),
        ("19495551234", "nowhere", "+19495551234"),
    ],
)
def test_numbers(written: str, region: str, number: str) -> None:
    assert e164(written, region) == number


@pytest.mark.parametrize(
    "written",
    [
        "",
        "anonymous",
        "unknown",
        "Restricted",
        "s",
        "911",
        "1001",
        "5551234",  # without its area code, nobody can call it from elsewhere
        "+15551234",
        "+0123456789",
        "+999123456789",
        "+1949555123",
        "+194955512345678",
        "+1949555123x",
        "1-800-FLOWERS",
        "+19495551234;npdi",
        "+19495551234\0",
        "sip:+19495551234@host",
        "+",
        "+-+",
        "\u0661\u0669\u0664\u0669\u0665\u0665\u0665\u0661\u0662\u0663\u0664",
        "1" * 10_000,
    ],
)
def test_no_numbers(written: str) -> None:
    assert e164(written) is None


@example("+4300000000", "US")  # without its trunk prefix it begins with another
@given(PRINTED | st.text(), st.sampled_from(["US", "DE", "IT", "RU", "XX", ""]))
@example("+39012345678", "US")
def test_any_text_is_one_number_or_none(written: str, region: str) -> None:
    number = e164(written, region)
    if number is not None:
        assert number.startswith("+")
        assert number[1:].isdecimal()
        assert 7 <= len(number) - 1 <= 15
        assert e164(number, region) == number
        assert e164(number, "JP") == number


@given(st.integers(2_000_000_000, 9_999_999_999))
def test_a_number_without_its_plus_is_the_same_in_north_america(digits: int) -> None:
    national = e164(f"+1{digits}")
    if national is not None:
        assert e164(f"1{digits}") == national
