"""The page of placed calls says of health and presence what the code has."""

from tests.pages import ROOT, table
from trunx.domain import health
from trunx.domain.health import PRESENCE, State, Use, explain

PAGE = (ROOT / "docs" / "outbound.md").read_text("utf-8")


def test_the_parts_of_health_are_those_of_the_page() -> None:
    parts = {part.name: part for part in explain(Use())}
    rows = {name.strip("`"): row for name, *row in table(PAGE, "part")}
    assert list(rows) == list(parts)
    for name, part in parts.items():
        points, _, _, usual = rows[name]
        assert points == str(part.most)
        assert usual == ("as often" if name == "trend" else f"{part.share:.0%}".replace("%", " %"))
    assert f"a DID's last {health.LAST_CALLS} calls of at most {health.WINDOW.days} days" in PAGE
    assert f"own calls {health.PRIOR_CALLS} ordinary ones are added" in PAGE
    assert f"DID so\nhas {health.health(Use())}." in PAGE


def test_states_and_presence_are_those_of_the_page() -> None:
    states = {row[0].strip("`"): row[1] for row in table(PAGE, "state")}
    assert list(states) == list(State)
    assert f"for {health.WARM_UP.days} days" in states["warming"]
    assert f"{health.WARM_UP_CALLS} calls in 24 hours" in states["warming"]
    assert f"under {health.TIRED}:" in states["resting"]
    assert f"for {health.REST.days} days at least, until it has reached {health.RESTED}" in states["resting"]
    presence = [(row[0].strip("`"), row[1]) for row in table(PAGE, "presence")]
    assert presence == [(near.name.lower(), str(PRESENCE[near])) for near in sorted(PRESENCE, reverse=True)]
