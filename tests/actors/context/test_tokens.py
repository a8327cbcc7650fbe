import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.context.tokens import count, upper_bound
from tests.actors.context.conversation import few


@few
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), st.text(max_size=50))
def test_the_bound_is_never_below_the_count(text: str, arguments: str):
    call = {"id": "a", "type": "function", "function": {"name": "run", "arguments": arguments}}
    message = {"role": "assistant", "content": text, "tool_calls": [call]}
    assert count(message) <= upper_bound(message)


def test_words_are_counted_about_as_providers_do():
    assert 10 <= count({"role": "user", "content": "Write a test that fails first, please."}) <= 20


def test_text_that_looks_like_a_special_token_is_only_text():
    assert count({"role": "user", "content": "<|endoftext|>"}) > 8


def test_half_characters_do_no_harm():
    assert count({"role": "user", "content": "\ud800"}) > 8


@pytest.mark.slow
def test_counting_needs_neither_network_nor_litellm():
    program = (
        "import sys, socket; socket.socket = None\n"
        "from actors.context.tokens import count\n"
        "assert count({'content': 'hello world'}) == 10\n"
        "assert 'litellm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
