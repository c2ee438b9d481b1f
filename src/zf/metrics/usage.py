"""What a language model's command line or API says it used -> lines for `$ZF_METRICS`. Pure.

Nothing is guessed: a model that an answer does not name is `unknown`, and a price that it does not
have is left out, never 0. Tokens are told apart so that they add up: what came from a cache is no
`input`, what went into reasoning is no `output`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from zf.lean.records import Struct
from zf.metrics.exposition import Metrics, Series, text

TOKENS, COST, REQUESTS = "llm_tokens_total", "llm_cost_usd_total", "llm_requests_total"
UNKNOWN = "unknown"
_ANTHROPIC, _OPENAI = "anthropic", "openai"
_MAX_TOKENS = 10**15


class UsageError(ValueError):
    """An answer is not of the form it is said to have; the message says what was looked for."""


class Used(Struct, frozen=True):
    """What one model used. Tokens are by type; `cost_usd` is None where it is not known."""

    provider: str
    model: str
    tokens: Mapping[str, int]
    requests: int
    cost_usd: float | None = None


def lines(source: str, data: bytes, model: str | None = None) -> str:
    """OpenMetrics text for an answer of this `source`, one of `SOURCES`; `model` names the model
    where the answer does not. Raises UsageError.
    """
    metrics = Metrics()
    for used in SOURCES[source](_documents(data)):
        name = model or UNKNOWN if used.model == UNKNOWN else used.model
        labels = (("model", name),)
        for kind, count in used.tokens.items():
            if count:
                about = (*labels, ("provider", used.provider), ("type", kind))
                metrics.add(Series(TOKENS, about, "counter", float(count)))
        metrics.add(Series(REQUESTS, labels, "counter", float(used.requests)))
        if used.cost_usd is not None:
            metrics.add(Series(COST, labels, "counter", used.cost_usd))
    if not metrics.series:
        raise UsageError(_WANTED[source])
    return text(metrics.series.values())


def _documents(data: bytes) -> list[Mapping[str, Any]]:
    """The JSON objects of an answer: one, a list of them, or one a line."""
    try:
        whole = json.loads(data)
    except RecursionError:
        raise UsageError("JSON that is not nested so deeply") from None
    except ValueError:
        whole = _by_line(data)
    return [one for one in (whole if isinstance(whole, list) else [whole]) if isinstance(one, dict)]


def _by_line(data: bytes) -> list[Any]:
    found = []
    for line in data.splitlines():
        if line.strip().startswith(b"{"):
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                continue  # what else a program prints between its events
    if not found:
        raise UsageError("a JSON object, or one a line")
    return found


def _claude(documents: Iterable[Mapping[str, Any]]) -> Iterator[Used]:
    """`claude -p --output-format json` or `stream-json`, or an answer of the Messages API."""
    results: dict[str, Mapping[str, Any]] = {}
    for one in documents:
        if one.get("type") == "result":
            # It counts from the start of its session, so the last one says all.
            results[str(one.get("session_id", ""))] = one
        elif one.get("type") == "message" and isinstance(one.get("usage"), dict):
            yield Used(_ANTHROPIC, _model(one), _anthropic_tokens(one["usage"]), 1)
    for result in results.values():
        yield from _claude_result(result)


def _claude_result(result: Mapping[str, Any]) -> Iterator[Used]:
    by_model = result.get("modelUsage")
    turns = max(1, _count(result, "num_turns"))
    if not isinstance(by_model, dict) or not by_model:
        tokens = _anthropic_tokens(_object(result, "usage"))
        cost = _price(result, "total_cost_usd")
        yield Used(_ANTHROPIC, UNKNOWN, tokens, turns, cost)
        return
    for number, (model, usage) in enumerate(by_model.items()):
        if not isinstance(usage, dict):
            raise UsageError(_WANTED["claude"])
        tokens = {
            "input": _count(usage, "inputTokens"),
            "output": _count(usage, "outputTokens"),
            "cache_read": _count(usage, "cacheReadInputTokens"),
            "cache_write": _count(usage, "cacheCreationInputTokens"),
        }
        # How many of the turns went to which model is not said: the first has the conversation.
        cost = _price(usage, "costUSD")
        yield Used(_ANTHROPIC, model, tokens, 1 if number else turns, cost)


def _anthropic_tokens(usage: Mapping[str, Any]) -> dict[str, int]:
    return {
        "input": _count(usage, "input_tokens"),
        "output": _count(usage, "output_tokens"),
        "cache_read": _count(usage, "cache_read_input_tokens"),
        "cache_write": _count(usage, "cache_creation_input_tokens"),
    }


def _codex(documents: Iterable[Mapping[str, Any]]) -> Iterator[Used]:
    """`codex exec --json`: the usage of a turn counts from the start of its thread."""
    threads: list[tuple[Mapping[str, Any], int]] = []
    begins = True
    for one in documents:
        if one.get("type") == "thread.started":
            begins = True
        elif one.get("type") == "turn.completed" and isinstance(one.get("usage"), dict):
            turns = 1 if begins else threads.pop()[1] + 1
            threads.append((one["usage"], turns))
            begins = False
    for usage, turns in threads:
        cached, reasoning = (
            _count(usage, "cached_input_tokens"),
            _count(usage, "reasoning_output_tokens"),
        )
        yield Used(
            _OPENAI,
            UNKNOWN,
            _openai_tokens(usage, "input_tokens", "output_tokens", cached, reasoning),
            turns,
        )


def _openai(documents: Iterable[Mapping[str, Any]]) -> Iterator[Used]:
    """An answer of the Responses or the Chat Completions API."""
    for one in documents:
        # A stream's last event holds the answer.
        answer = one.get("response") if isinstance(one.get("response"), dict) else one
        usage = answer.get("usage") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or not isinstance(usage, dict):
            continue
        names = ("prompt_tokens", "completion_tokens")
        if "input_tokens" in usage:
            names = ("input_tokens", "output_tokens")
        cached = _count(_object(usage, f"{names[0]}_details"), "cached_tokens")
        reasoning = _count(_object(usage, f"{names[1]}_details"), "reasoning_tokens")
        yield Used(_OPENAI, _model(answer), _openai_tokens(usage, *names, cached, reasoning), 1)


def _openai_tokens(
    usage: Mapping[str, Any], given: str, got: str, cached: int, reasoning: int
) -> dict[str, int]:
    """Of the counts given, the input holds what was cached, and the output the reasoning."""
    return {
        "input": max(0, _count(usage, given) - cached),
        "output": max(0, _count(usage, got) - reasoning),
        "cache_read": cached,
        "reasoning": reasoning,
    }


def _model(answer: Mapping[str, Any]) -> str:
    model = answer.get("model")
    return model if isinstance(model, str) and model else UNKNOWN


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _count(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_TOKENS:
        raise UsageError(f"a count in {key}, not {str(value)[:40]!r}")
    return value


def _price(data: Mapping[str, Any], key: str) -> float | None:
    value = data.get(key)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _MAX_TOKENS:
        raise UsageError(f"an amount in {key}, not {str(value)[:40]!r}")
    return float(value)


SOURCES: Mapping[str, Callable[[Iterable[Mapping[str, Any]]], Iterator[Used]]] = {
    "claude": _claude,
    "codex": _codex,
    "openai": _openai,
}
_WANTED = {
    "claude": "the result of claude -p --output-format json, or an answer of the Messages API",
    "codex": "what codex exec --json prints, with a turn.completed in it",
    "openai": "an answer of the Responses or the Chat Completions API, with its usage",
}
