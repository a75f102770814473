"""Telephone numbers: E.164 everywhere inside, whatever the carrier or the user wrote."""

import re
from functools import lru_cache

import phonenumbers

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PRINTED = re.compile(r"[+0-9().\-\s/]{3,40}")


@lru_cache(maxsize=16_384)
def e164(written: str, region: str = "US") -> str | None:
    """The number that `written` means, as `+` and 7 to 15 digits (ITU-T E.164), or None.

    Carriers write a number with or without `+`; one without is tried as international first, then as a number
    of `region` (ISO 3166 alpha-2).
    """
    if not _PRINTED.fullmatch(written):
        return None
    candidates = (
        [(written, None)] if written.lstrip().startswith("+") else [("+" + written, None), (written, region)]
    )
    for text, home in candidates:
        try:
            parsed = phonenumbers.parse(text, home)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(parsed):
            found = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
            if _E164.fullmatch(found):
                return found
    return None
