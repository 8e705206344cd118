"""What the tests of tuning.py share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from fer_edge.config import Alert, Config
from fer_edge.settings.constraints import combination_errors
from fer_edge.settings.overrides import Tuning, topic_of

CONFIG = Config(alerts={"door": Alert(expressions=("fear",)), "till": Alert(expressions=("sadness",))})
KEYS = [answer.key for answer in Tuning(CONFIG, None).answers()]
BUILTINS = msgspec.to_builtins(CONFIG)
REFUSED = [f"{section}.{key}" for section in BUILTINS for key in BUILTINS[section] if f"{section}.{key}" not in KEYS]


def valid(config: Config) -> bool:
    """Whether config.yaml could hold it, too."""
    return msgspec.convert(msgspec.to_builtins(config), Config) == config and not combination_errors(config)


def reason(key: str, payload: bytes) -> str:
    """Why a change is refused, which leaves all as it was."""
    tuning = Tuning(CONFIG, None)
    answer = tuning.set(key, payload)
    assert not answer.accepted
    assert tuning.config == CONFIG
    return answer.reason or ""


def stored(folder: Path) -> Any:
    return json.loads((folder / "tuning.json").read_text())


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ODD = [b"ON", b"OFF", b"debug", b"", b"null", b"1e400", b"-0", b"9" * 250, b"[" * 256, b'"\\ud800"']
PAYLOADS = (
    st.binary(max_size=300)
    | st.text(max_size=80).map(str.encode)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.sampled_from(ODD)
)
LIKELY = st.floats(0, 1).map(lambda value: str(value).encode()) | st.integers(0, 60).map(lambda n: str(n).encode())
NAMES = st.sampled_from(KEYS) | st.sampled_from(KEYS).map(topic_of) | st.sampled_from(REFUSED) | st.text(max_size=20)
CHANGES = st.tuples(NAMES, PAYLOADS | LIKELY)
