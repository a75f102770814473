"""Telephone numbers: E.164 everywhere inside, whatever the carrier or the user wrote."""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, ValidationResult

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# Every number of this form has a possible length. The library takes 50 us to say so, in each call.
_NORTH_AMERICAN = re.compile(r"\+1[2-9][0-9]{2}[2-9][0-9]{6}")
_PRINTED = re.compile(r"[+0-9().\-\s/]{3,40}")


@lru_cache(maxsize=16_384)
def e164(written: str, region: str = "US") -> str | None:
    """The number that `written` means, as `+` and 7 to 15 digits (ITU-T E.164), or None.

    Carriers write a number with or without `+`. One without can be read as a national number of `region`
    (ISO 3166 alpha-2) and as an international one, and often both exist: Manhattan's 646 555 1234 and New
    Zealand's 64 6555 1234. Where national numbers are dialled without a trunk prefix the national reading
    counts first, elsewhere (0151... in Germany) the international one; a number that is in use comes before
    one that merely has a possible length.
    """
    if _NORTH_AMERICAN.fullmatch(written):
        return written
    if not _PRINTED.fullmatch(written):
        return None
    if written.lstrip().startswith("+"):
        readings = [_read(written, None)]
    else:
        readings = [_read(written, region), _read("+" + written, None)]
        if _has_trunk_prefix(region):
            readings.reverse()
    numbers = [number for number in readings if number is not None]
    best = next(filter(phonenumbers.is_valid_number, numbers), None) or next(iter(numbers), None)
    return None if best is None else _written(best)


def is_country(code: str) -> bool:
    """Whether `code` (ISO 3166 alpha-2, in capitals) is a country with numbers of its own."""
    return code in phonenumbers.SUPPORTED_REGIONS


def _read(text: str, region: str | None) -> PhoneNumber | None:
    """What `text` says, if a whole number (not one that lacks its area code) can have that length."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    whole = phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    if not whole or not _E164.fullmatch(_written(number)):
        return None
    # A trunk prefix is dropped, as people write +43 (0) 1 ...; with another behind it this is no number.
    return number if phonenumbers.parse(_written(number)) == number else None


def _written(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _has_trunk_prefix(region: str) -> bool:
    """Whether national numbers of `region` begin with a digit of their own; North America's 1 is no such."""
    plan = PhoneMetadata.metadata_for_region(region)
    return plan is not None and plan.national_prefix not in (None, str(plan.country_code))
