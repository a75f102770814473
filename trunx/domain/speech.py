"""What may be spoken, how its numbers are read, and the key under which speech is kept.

A voice reads "+19495551234" as nineteen billion, and says nothing at all for the `*` of "press *": digits
that people read one by one are written one by one before any voice sees them. Prices, times, dates, years and
ordinals stay as they are, because voices read those well.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, pairwise

import phonenumbers

from trunx.domain.audio import SpeechError

PROMPT_CHARACTERS = 2_500
"""Longest text of a prompt: about three minutes, far more than a caller listens to."""

SPOKEN_CHARACTERS = 3_000
"""Longest text that anyone is asked to speak: that of an action on a live call, by the contract."""

_MARKUP = re.compile(r"<(?:[/!?]?[A-Za-z][^<>]*|!--[^<>]*)>|\]\(")  # tags, and Markdown's [link](target)
_ENGLISH = re.compile(
    r"\b(?:and|call|calling|code|dial|from|hello|hours|number|our|please|press|thanks?|the|this|welcome|with|"
    r"your?)\b",
    re.IGNORECASE,
)

# Invisible, and no part of any word: zero-width space, word joiner, byte order mark, soft hyphen, directions.
_INVISIBLE = dict.fromkeys([0x200B, 0x2060, 0xFEFF, 0xAD, *range(0x200E, 0x2010), *range(0x202A, 0x202F)])
_HYPHENS = dict.fromkeys([0x2010, 0x2011, 0x2212], "-")
_QUOTES = {**dict.fromkeys([0x2018, 0x2019], "'"), **dict.fromkeys([0x201C, 0x201D, 0x201E], '"')}
_PLAIN = str.maketrans({**_INVISIBLE, **_HYPHENS, **_QUOTES, "\r": "\n", "\v": "\n", "\f": "\n"})
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")

# A number ends where no digit, letter or joined-on number follows; the full stop of a sentence may.
_BEFORE = r"(?<![\w+$£€¥₹.,:/#-])"
_END = r"(?![.,:/-][0-9])"
_AFTER = rf"(?![\w%]){_END}"
_LOCAL = r"[2-9][0-9]{2}[-. ][0-9]{4}"
_PHONE = re.compile(
    rf"(?<![\w+])\+[0-9][0-9 ().-]{{5,22}}[0-9]{_AFTER}"
    rf"|{_BEFORE}(?:1[-. ]?)?(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}[-. ]){_LOCAL}{_AFTER}"
    rf"|{_BEFORE}1[2-9][0-9]{{9}}{_AFTER}"
    rf"|{_BEFORE}[2-9][0-9]{{2}}-[0-9]{{4}}{_AFTER}"
    rf"|{_BEFORE}[0-9]{{5}}-[0-9]{{4}}{_AFTER}"  # a postal code (ZIP+4)
    rf"|{_BEFORE}0[0-9]{{1,4}}(?: [0-9]{{2,}}){{1,5}}{_AFTER}"
)
_NATIONAL = re.compile(r"(1?)([2-9][0-9]{2})([2-9][0-9]{2})([0-9]{4})")  # North America's ten digits
_RUN = re.compile(rf"(?<![0-9+$£€¥₹.,:/-])(?:[0-9]{{5,}}|0[0-9]+)(?!st|nd|rd|th|[0-9%]){_END}")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_DAYS = {
    day[:2]: day for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
}
_DAY = r"(?:Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)"
_IN_ADDRESS = {"@": " at ", ".": " dot ", "_": " underscore ", "-": " dash ", "/": " slash ", "+": " plus "}
_ADDRESS = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?:[\w-]+\.)+(?:com|org|net|io|co|us|uk|ca|eu|ai|edu|gov|info|biz|app|dev)(?:/[\w/-]*)?",
    re.IGNORECASE,
)
_ALONE = r"(?<![^\s\"'(])"
_ALONE_TO = r"(?![^\s\"').,;:!?])"
_DASH = r" ?[-\u2013\u2014] ?"
# What voices read badly (tried with hibari-tts 0.2.1), and how they read it well.
_SAID: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # Keys of a telephone: `*` is passed over in silence, `#` is read as "hashtag".
    (re.compile(rf"{_ALONE}\*(?=[0-9])"), "star "),
    (re.compile(rf"{_ALONE}\*{_ALONE_TO}"), "star"),
    (re.compile(rf"{_ALONE}#{_ALONE_TO}"), "pound"),
    (re.compile(rf"(?<=[0-9])#{_ALONE_TO}"), " pound"),
    (re.compile(rf"{_ALONE}#(?=[0-9])"), "number "),
    # "24 slash 7", "five ten percent", "mon fry", and 1,2 is read as twelve.
    (re.compile(rf"{_BEFORE}24/7{_AFTER}"), "24 7"),
    (re.compile(rf"(?<![\w.,:/-])([0-9]{{1,3}}){_DASH}(?=[0-9]{{1,3}}%)"), r"\1 to "),
    (re.compile(rf"(?<=[0-9 ][AaPp][Mm]){_DASH}(?=[0-9])"), " to "),
    (re.compile(rf"{_BEFORE}[0-9](?:,[0-9])+{_AFTER}"), lambda keys: keys[0].replace(",", ", ")),
    (
        re.compile(rf"\b({_DAY}){_DASH}({_DAY})\b"),
        lambda days: f"{_DAYS[days[1][:2]]} to {_DAYS[days[2][:2]]}",
    ),
    # The dot of an abbreviation would end the sentence.
    (re.compile(r"\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\. (?=[0-9])"), r"\1 "),
    (re.compile(r"\b([Ee])xt\.? ?(?=[0-9])"), r"\1xtension "),
    # Toll-free numbers that end in a word.
    (re.compile(rf"{_BEFORE}1[-. ]800[-. ](?=[A-Z])"), "one, eight hundred, "),
)
# Short numbers that are read digit by digit because of the word before them.
_CODE = re.compile(
    rf"\b((?:pin|(?:pass)?code|extension)(?: number| is|:){{0,2}} )([0-9]{{3,4}}){_AFTER}", re.IGNORECASE
)
_SERVICE = re.compile(rf"\b((?:call|dial|text) )([2-9]11|988){_AFTER}", re.IGNORECASE)


def check_text(text: str, most: int = PROMPT_CHARACTERS) -> None:
    """Whether anyone may be asked to speak `text`.

    Raises:
        SpeechError: `text-empty`, `text-too-long`, `text-has-control-characters` or `text-has-markup`; each
            is the request's fault, in its field `text`.
    """
    if not any(character.isalnum() or character in "*#" for character in text):
        raise _refused("text-empty", "the text has nothing to say: no letter and no digit")
    if len(text) > most:
        raise _refused("text-too-long", f"the text has {len(text)} characters; a prompt may have {most}")
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs"} and character not in "\t\n\r":
            raise _refused(
                "text-has-control-characters",
                f"the text has the character U+{ord(character):04X}, which nobody can say",
            )
    if markup := _MARKUP.search(text):
        raise _refused(
            "text-has-markup",
            f"the text has markup, {_shown(markup[0])}, which would be read out or obeyed; for a pause write "
            "a comma or a full stop",
        )


def language_of(text: str) -> str | None:
    """`en` for a text with everyday English words, else None: not known."""
    return "en" if _ENGLISH.search(text) else None


def prepared(text: str, language: str | None = "en") -> str:
    """`text` as a voice should read it: no letter and no digit's value is lost.

    Telephone numbers and runs of five and more digits are read digit by digit, in groups with short pauses;
    in English as words, in other languages as digits with spaces, which any voice reads in its own. What else
    voices misread (`*`, `24/7`, `Mon-Fri`, `Press 1,2 or 3`, addresses) is written out in English only.
    """
    english = language == "en"
    text = unicodedata.normalize("NFC", text.translate(_PLAIN))
    text = _LINES.sub("\n", _SPACES.sub(" ", text)).strip()
    if english:
        text = re.sub(r"\S+", lambda token: _address(token[0]), text)
        for pattern, said in _SAID:
            text = pattern.sub(said, text)
        for pattern in (_CODE, _SERVICE):
            text = pattern.sub(lambda code: code[1] + _read([code[2]], english=True), text)
    text = _PHONE.sub(lambda number: _phone(number[0], english=english), text)
    text = _RUN.sub(lambda run: _run(run, english=english), text)
    return _SPACES.sub(" ", text).strip()


def speech_key(
    *, provider: str, model: str, voice: str, words: str, settings: Mapping[str, str], form: str
) -> str:
    """64 hex digits of everything that shapes the sound; `form` is the file format asked for.

    JSON with sorted keys: no two different speeches are written the same way.
    """
    shape = [provider, model, voice, words, dict(settings), form]
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()


def _refused(code: str, message: str) -> SpeechError:
    return SpeechError(code, message, is_request=True, field="text")


def _shown(markup: str) -> str:
    return f"`{markup}`" if len(markup) <= 40 else f"`{markup[:40]}...`"


def _address(token: str) -> str:
    """A mail or web address in words; any other token as it is."""
    core = token.strip("\"'(),;:!?.")
    if not _ADDRESS.fullmatch(core):
        return token
    said = re.sub(r"^www\.", "w w w.", core, flags=re.IGNORECASE)
    for sign, word in _IN_ADDRESS.items():
        said = said.replace(sign, word)
    return token.replace(core, said.strip())


def _phone(written: str, *, english: bool) -> str:
    digits = re.sub(r"[^0-9]", "", written)
    plus = ""
    if national := _NATIONAL.fullmatch(digits):
        groups = [group for group in national.groups() if group]
    elif written.startswith("+"):
        plus = "plus " if english else "+ "
        groups = _international(written, digits)
    else:
        groups = re.findall("[0-9]+", written)
    return plus + _read(groups, english=english)


def _international(written: str, digits: str) -> list[str]:
    """The groups in which the number's country writes it, if that leaves every digit where it is."""
    try:
        number = phonenumbers.parse(written, None)
    except phonenumbers.NumberParseException:
        return re.findall("[0-9]+", written)
    printed = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    groups = re.findall("[0-9]+", printed)
    return groups if "".join(groups) == digits else re.findall("[0-9]+", written)


def _run(run: re.Match[str], *, english: bool) -> str:
    digits, text = run[0], run.string
    size = len(digits)
    if size <= 5:
        sizes = [size]
    elif size % 4 == 0:
        sizes = [4] * (size // 4)
    else:
        threes, rest = divmod(size, 3)
        sizes = [3] * threes + [rest] * (rest == 2)
        sizes[-1] += rest == 1
    ends = [0, *accumulate(sizes)]
    said = _read([digits[start:end] for start, end in pairwise(ends)], english=english)
    before = " " if text[run.start() - 1 : run.start()].isalnum() else ""
    return before + said + (" " if text[run.end() : run.end() + 1].isalnum() else "")


def _read(groups: Iterable[str], *, english: bool) -> str:
    if not english:
        return ", ".join(" ".join(group) for group in groups)
    return ", ".join(
        "eight hundred" if group == "800" else " ".join(_DIGITS[int(digit)] for digit in group)
        for group in groups
    )
