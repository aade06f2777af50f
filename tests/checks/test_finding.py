"""Findings are reported errors first, and stop a run with all of them."""

import pytest

from vanillanet_det import UserError
from vanillanet_det.checks import Finding, report, stop_at_errors

FINDINGS = [
    Finding("warning", "lr-batch", "a: odd; mend it"),
    Finding("error", "strides", "b: wrong; mend it"),
    Finding("error", "channels", "c: wrong; mend it", 3),
]


def test_errors_come_first():
    assert report(FINDINGS).splitlines() == [
        "error: b: wrong; mend it [strides]",
        "error: c: wrong; mend it [channels]",
        "warning: a: odd; mend it [lr-batch]",
    ]


def test_one_error_is_the_message_and_several_are_listed():
    stop_at_errors(FINDINGS[:1])
    with pytest.raises(UserError, match=r"^b: wrong; mend it$"):
        stop_at_errors(FINDINGS[:2])
    with pytest.raises(UserError) as caught:
        stop_at_errors(FINDINGS)
    assert str(caught.value).splitlines() == [
        "2 errors in the config and its data:",
        "- b: wrong; mend it",
        "- c: wrong; mend it",
    ]
