"""How near a DID is to the one who is called: people answer a number that looks like their own.

Places come from the tables of `phonenumbers`, but not by its geocoder: that one needs 97 MB and half a second
to tell a prefix from a town, for all the world at once. Here only the files of the country in question are
read, and of North America no more is kept than the state of each area code and what lies beside it.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pkgutil import iter_modules
from typing import NamedTuple

import phonenumbers

# Area codes of one and the same place: who got a line later got the next code. The tables name no towns for
# the newer ones, and so cannot tell. North American Numbering Plan Administrator: area code map, overlays.
_OVERLAYS = """
205 659  256 938  480 602 623  870 327
209 350  213 323 738  310 424  408 669  415 628  510 341  619 858  707 369  714 657  760 442  805 820
818 747  909 840  916 279  303 720 983  970 748  203 475  860 959  202 771
305 786 645  407 689  561 728  954 754  813 656  850 448  904 324  404 470 678 770 943  706 762  208 986
217 447  312 773 872  630 331  708 464  618 730  815 779  847 224  317 463  812 930  270 364
301 240 227  410 443 667  781 339  978 351  508 774  617 857  248 947  601 769
314 557  573 235  816 975  402 531  702 725  201 551  732 848  973 862  609 640
212 332 646 718 347 929 917  315 680  516 363  518 838  631 934  845 329
336 743  704 980  910 472  919 984  330 234  419 567  513 283  614 380  740 220  937 326
405 572  918 539  503 971  541 458  215 267 445  412 724 878  610 484 835  570 272  717 223  814 582
803 839  843 854  864 821  615 629
210 726  214 469 972 945  713 281 832 346  903 430  512 737  817 682  801 385
540 826  703 571  757 948  804 686  206 564  253 564  360 564  425 564  304 681  608 353  715 534  920 274
250 604 778 236 672 257  403 587 825 368  780 587 825 368  306 639 474  204 431 584
519 226 548 382  705 249 683  905 289 365 742  613 343 753  416 647 437 942
514 438 263  450 579 354  418 581 367 273  819 873 468  506 428  902 782  709 879
809 829 849  787 939  876 658
"""
_MISSPELT = {"British Colombia": "British Columbia"}  # so the tables call area 257


class Nearness(IntEnum):
    """More is nearer. NEIGHBOUR is an overlay of the area code, or one that shares a town with it; outside
    North America there is none, and AREA is the same town.
    """

    ELSEWHERE = 0
    COUNTRY = 1
    STATE = 2
    NEIGHBOUR = 3
    AREA = 4


class Place(NamedTuple):
    """Where a number is at home. `area` is an area code or a town; each is "" where that is not known."""

    country: str
    state: str
    area: str


def nearness(there: Place, here: Place) -> Nearness:
    """How near the two are to each other."""
    if not there.country or there.country != here.country:
        return Nearness.ELSEWHERE
    if there.area and there.area == here.area:
        return Nearness.AREA
    # Outside North America areas have names, which are none of these codes.
    if here.area in _north_america().beside.get(there.area, ()):
        return Nearness.NEIGHBOUR
    return Nearness.STATE if there.state and there.state == here.state else Nearness.COUNTRY


@lru_cache(maxsize=65_536)
def place(number: str) -> Place:
    """Where `number` (E.164) is at home. The first number of a country reads its tables, which takes tens of
    milliseconds, for China hundreds: not for an event loop.
    """
    if number.startswith("+1"):
        area = number[2:5]
        return Place(_country(f"+1{area}2345678"), _north_america().states.get(area, ""), area)
    try:
        code = str(phonenumbers.parse(number, None).country_code)
    except phonenumbers.NumberParseException:
        return Place("", "", "")
    towns = _towns(code)
    digits = number[1:]
    name = next(filter(None, (towns.get(digits[:end]) for end in range(len(digits), len(code), -1))), "")
    return Place(_country(number), name.rpartition(", ")[2], name)


@lru_cache(maxsize=4_096)
def _country(number: str) -> str:
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number, None)) or ""
    except phonenumbers.NumberParseException:
        return ""


class _NorthAmerica(NamedTuple):
    """Each area code's state (or province), in two letters as a rule, and the codes of places beside it."""

    states: Mapping[str, str]
    beside: Mapping[str, frozenset[str]]


@lru_cache(maxsize=1)
def _north_america() -> _NorthAmerica:
    names: dict[str, str] = {}
    towns: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for prefix, name in _names("1"):
        area, (town, _, state) = prefix[1:4], name.rpartition(", ")
        if town:
            towns[area][state, town] += 1
        elif len(prefix) == 4:
            names[area] = _MISSPELT.get(name, name)
    states = {area: _most(state for state, _ in found.elements()) for area, found in towns.items()}
    # What a state is called in two letters, from the areas that the tables have both of.
    short = {names[area]: state for area, state in states.items() if area in names}
    states |= {area: short.get(name, name) for area, name in names.items() if area not in states}
    same = _together(re.split(r"\s{2,}|\n", _OVERLAYS.strip()))
    for area, others in same.items():
        states.setdefault(area, next((states[other] for other in others if other in states), ""))
    beside = {area: others - {area} for area, others in same.items()}
    areas_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for area, found in towns.items():
        for state, town in found:
            if state == states[area]:  # a few exchanges are noted where they are not
                areas_of[state, town] |= {area} | same.get(area, set())
    for areas in areas_of.values():
        for area in areas:
            beside[area] = beside.get(area, set()) | areas - {area}
    return _NorthAmerica(states, {area: frozenset(areas) for area, areas in beside.items() if areas})


def _most(states: Iterable[str]) -> str:
    return Counter(states).most_common(1)[0][0]


def _together(groups: Iterable[str]) -> dict[str, set[str]]:
    """Each code of `groups` with all that share a group with it."""
    found: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        for code in group.split():
            found[code] |= set(group.split())
    return found


@lru_cache(maxsize=32)
def _towns(calling_code: str) -> Mapping[str, str]:
    """The place behind each prefix (its calling code included) of a country outside North America."""
    return dict(_names(calling_code))


def _names(calling_code: str) -> Iterator[tuple[str, str]]:
    """Prefixes that begin with `calling_code`, and what English calls the place behind each.

    The tables are modules, cut somewhere in one sorted list. They are run apart from their package, whose
    import would run and keep them all.
    """
    folder = f"{phonenumbers.__path__[0]}/geodata"
    names = (module.name for module in iter_modules([folder]) if module.name.startswith("data"))
    tables = [
        SourceFileLoader(f"phonenumbers.geodata.{name}", f"{folder}/{name}.py")
        for name in sorted(names, key=lambda name: int(name[4:]))
    ]
    for table in tables[max(0, bisect_right(tables, calling_code, key=_first_prefix) - 1) :]:
        module = module_from_spec(ModuleSpec(table.name, table))
        table.exec_module(module)
        for prefix, called in module.data.items():
            if prefix.startswith(calling_code):
                yield prefix, called.get("en") or next(iter(called.values()))
            elif prefix > calling_code:
                return


def _first_prefix(table: SourceFileLoader) -> str:
    found = re.search(rb"\n\s*'([0-9]+)':", table.get_data(table.path)[:4_096])
    return found[1].decode() if found else ""
