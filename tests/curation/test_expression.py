import pyarrow as pa
import pytest

from mofo.curation.expression import evaluate
from mofo.types import SettingsError

TABLE = pa.table(
    {"moving": [0.1, 0.5, None], "camera": [0.1, 0.9, 0.2], "cuts": [1, 2, 3], "kind": list("psz")}
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("moving > .2", [False, True, False]),
        ("not moving > .2", [True, False, False]),
        (".05 < moving <= .1 or kind == 'z'", [True, False, True]),
        ("kind in ('p', 'z')", [True, False, True]),
        ("kind not in ['p']", [False, True, True]),
        ("cuts / 2 >= 1", [False, True, True]),
        ("2 * camera - 1 < -camera", [True, False, True]),
        ("cuts + 1 != 2", [False, True, True]),
    ],
)
def test_forms(text, kept):
    (part,) = evaluate(text, TABLE)
    assert part.keeps_V.to_pylist() == kept


def test_parts_are_judged_alone():
    parts = evaluate("cuts > 1 and camera < .5", TABLE)
    assert [(part.text, part.keeps_V.to_pylist()) for part in parts] == [
        ("cuts > 1", [False, True, True]),
        ("camera < 0.5", [True, False, True]),
    ]


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("movin > .2", "did you mean 'moving'"),
        ("kind == z", "quotes"),
        ("kind > 3", "kind > 3"),
        ("moving >", "no expression"),
        ("", "no expression"),
        ("(" * 300, "no expression"),
        ("__import__('os').getcwd()", "not understood"),
        ("moving.real > 1", "not understood"),
        ("[c for c in kind] == 1", "not understood"),
        ("moving ** 9 > 1", "not understood"),
        ("(lambda: 1)() < moving", "not understood"),
        ("kind in moving", "not understood"),
        ("kind in ('p', moving)", "texts and numbers"),
        ("'a' * 9999999999 == kind", "cannot be computed"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_run(text, fact):
    with pytest.raises(SettingsError, match=fact) as error:
        evaluate(text, TABLE)
    assert "\n" not in str(error.value)
