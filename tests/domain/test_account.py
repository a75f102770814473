"""Accounts' names and keys' secrets."""

import re

from hypothesis import given
from hypothesis import strategies as st

from trunx.domain.account import fingerprint, new_account_id, new_key_id, new_secret, shown


def test_names_have_their_form_and_are_new() -> None:
    for make, form in (
        (new_account_id, r"MA[0-9a-f]{20}"),
        (new_key_id, r"key_[0-9a-f]{12}"),
        (new_secret, r"tk_live_[0-9a-f]{48}"),
    ):
        made = {make() for _ in range(100)}
        assert len(made) == 100
        assert all(re.fullmatch(form, name) for name in made)


def test_a_fingerprint_is_the_sha_256_of_the_secret() -> None:
    assert fingerprint("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.text(), st.text())
def test_any_secret_has_its_own_fingerprint(one: str, other: str) -> None:
    """Also text that UTF-8 cannot hold, which a header may bring."""
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_what_is_shown_of_a_secret_tells_little() -> None:
    secret = new_secret()
    assert shown(secret) == secret[:12] + "..."
    assert shown("short") == "short..."
