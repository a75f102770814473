"""What the recogniser makes of prompts whose words are known."""

from __future__ import annotations

from sounds import DEMO
from tests.peers.hearing import load_ulaw
from tests.peers.recogniser import MOST, recalled, words


def test_most_words_of_a_prompt_are_found_and_few_of_another_one() -> None:
    heard = load_ulaw(DEMO["welcome"].path)
    recall = {name: recalled(prompt.words, heard) for name, prompt in DEMO.items()}
    print(f"recall of each prompt's words in the welcome: {recall}")
    assert recall["welcome"] > MOST + 0.1
    assert max(recall["business_check"], recall["not_qualified"]) < MOST - 0.05


def test_digits_are_words() -> None:
    assert words("Press 1, it's OK: 19.") == ["press", "one", "it's", "ok", "one", "nine"]
