"""Answers of command lines and APIs of language models, as they were recorded -> metrics."""

from __future__ import annotations

import json

import pytest

from zf.metrics.exposition import read
from zf.metrics.usage import SOURCES, UsageError, lines

CLAUDE = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "num_turns": 4,
    "session_id": "1f0c",
    "total_cost_usd": 0.3521,
    "usage": {"input_tokens": 12, "output_tokens": 900},
    "modelUsage": {
        "claude-sonnet-4-5-20250929": {
            "inputTokens": 12,
            "outputTokens": 900,
            "cacheReadInputTokens": 51000,
            "cacheCreationInputTokens": 7000,
            "webSearchRequests": 0,
            "costUSD": 0.35,
        },
        "claude-haiku-4-5-20251001": {
            "inputTokens": 765,
            "outputTokens": 14,
            "cacheReadInputTokens": 0,
            "cacheCreationInputTokens": 0,
            "costUSD": 0.0021,
        },
    },
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-opus-4-1",
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
    },
}
CODEX = [
    {"type": "thread.started", "thread_id": "0199"},
    {"type": "turn.started"},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "done"}},
    {
        "type": "turn.completed",
        "usage": {"input_tokens": 24763, "cached_input_tokens": 24448, "output_tokens": 122},
    },
]
CHAT = {
    "object": "chat.completion",
    "model": "gpt-4.1-2025-04-14",
    "usage": {
        "prompt_tokens": 1117,
        "completion_tokens": 46,
        "total_tokens": 1163,
        "prompt_tokens_details": {"cached_tokens": 1000},
        "completion_tokens_details": {"reasoning_tokens": 40},
    },
}
RESPONSE = {
    "object": "response",
    "model": "gpt-5",
    "usage": {
        "input_tokens": 36,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 87,
        "output_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 123,
    },
}


def used(source: str, answer: object, model: str | None = None) -> dict[str, float]:
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    found = read(lines(source, data, model).encode())
    assert found.bad == 0
    return {one.sample: one.value for one in found.series.values()}


def tokens(model: str, provider: str, kind: str) -> str:
    return f'llm_tokens_total{{model="{model}",provider="{provider}",type="{kind}"}}'


def test_claude_tells_tokens_and_cost_by_model():
    sonnet, haiku = CLAUDE["modelUsage"]
    assert used("claude", CLAUDE) == {
        tokens(sonnet, "anthropic", "input"): 12,
        tokens(sonnet, "anthropic", "output"): 900,
        tokens(sonnet, "anthropic", "cache_read"): 51000,
        tokens(sonnet, "anthropic", "cache_write"): 7000,
        tokens(haiku, "anthropic", "input"): 765,
        tokens(haiku, "anthropic", "output"): 14,
        f'llm_requests_total{{model="{sonnet}"}}': 4,
        f'llm_requests_total{{model="{haiku}"}}': 1,
        f'llm_cost_usd_total{{model="{sonnet}"}}': 0.35,
        f'llm_cost_usd_total{{model="{haiku}"}}': 0.0021,
    }


def test_of_a_stream_the_last_result_of_a_session_counts():
    earlier = CLAUDE | {"modelUsage": {"m": {"inputTokens": 1, "costUSD": 0.1}}, "num_turns": 1}
    stream = b"\n".join(
        json.dumps(one).encode() for one in ({"type": "system", "subtype": "init"}, earlier, CLAUDE)
    )
    assert used("claude", b"a word before\n" + stream) == used("claude", CLAUDE)
    assert used("claude", [{"type": "system"}, CLAUDE]) == used("claude", CLAUDE)


def test_an_older_claude_names_no_model():
    old = {key: value for key, value in CLAUDE.items() if key != "modelUsage"}
    assert used("claude", old, "opus") == {
        tokens("opus", "anthropic", "input"): 12,
        tokens("opus", "anthropic", "output"): 900,
        'llm_requests_total{model="opus"}': 4,
        'llm_cost_usd_total{model="opus"}': 0.3521,
    }
    del old["total_cost_usd"]
    assert not [name for name in used("claude", old) if "cost" in name]
    assert 'llm_requests_total{model="unknown"}' in used("claude", old)


def test_the_messages_api_has_no_price():
    assert used("claude", MESSAGE) == {
        tokens("claude-opus-4-1", "anthropic", "input"): 10,
        tokens("claude-opus-4-1", "anthropic", "output"): 5,
        tokens("claude-opus-4-1", "anthropic", "cache_read"): 4,
        tokens("claude-opus-4-1", "anthropic", "cache_write"): 3,
        'llm_requests_total{model="claude-opus-4-1"}': 1,
    }


def test_codex_counts_from_the_start_of_a_thread():
    once = b"\n".join(json.dumps(one).encode() for one in CODEX)
    expected = {
        tokens("gpt-5-codex", "openai", "input"): 315,
        tokens("gpt-5-codex", "openai", "cache_read"): 24448,
        tokens("gpt-5-codex", "openai", "output"): 122,
        'llm_requests_total{model="gpt-5-codex"}': 1,
    }
    assert used("codex", once, "gpt-5-codex") == expected
    # Another thread in the same file adds; another turn of the same says it all again.
    assert used("codex", once + b"\n" + once, "gpt-5-codex") == {
        name: 2 * value for name, value in expected.items()
    }
    again = json.dumps(CODEX[-1]).encode()
    assert used("codex", once + b"\n" + again, "gpt-5-codex") == expected | {
        'llm_requests_total{model="gpt-5-codex"}': 2
    }


def test_openai_tells_cached_and_reasoning_tokens_inside_of_the_others():
    assert used("openai", CHAT) == {
        tokens("gpt-4.1-2025-04-14", "openai", "input"): 117,
        tokens("gpt-4.1-2025-04-14", "openai", "cache_read"): 1000,
        tokens("gpt-4.1-2025-04-14", "openai", "output"): 6,
        tokens("gpt-4.1-2025-04-14", "openai", "reasoning"): 40,
        'llm_requests_total{model="gpt-4.1-2025-04-14"}': 1,
    }
    plain = used("openai", RESPONSE)
    assert plain[tokens("gpt-5", "openai", "output")] == 23
    assert plain[tokens("gpt-5", "openai", "reasoning")] == 64
    completed = {"type": "response.completed", "response": RESPONSE}
    assert used("openai", [{"type": "response.created"}, completed]) == plain


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "answer",
    [b"", b"no JSON", b"[]", b"{}", b"null", b"[[[[", b"[" * 100_000, b'{"usage": 3}', b"\xff"],
)
def test_what_is_no_answer_is_refused(source, answer):
    with pytest.raises(UsageError):
        lines(source, answer)


@pytest.mark.parametrize("count", [-1, 1.5, "12", True, [1], 10**30])
def test_a_count_that_is_none_is_refused(count):
    message = MESSAGE | {"usage": {"input_tokens": count}}
    with pytest.raises(UsageError, match="input_tokens"):
        lines("claude", json.dumps(message).encode())
    cost = CLAUDE | {"modelUsage": {"m": {"costUSD": "free"}}}
    with pytest.raises(UsageError, match="costUSD"):
        lines("claude", json.dumps(cost).encode())
