"""No credential of a push URL is shown, and nothing is hidden that need not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.mask import hidden_parts, mask, shown_attach, shown_urls


@pytest.mark.parametrize(
    ("configured", "shown"),
    [
        ("json://127.0.0.1:7950/print_start", "json://127.0.0.1:7950/print_start"),
        ("json://127.0.0.1:{7950}/tpl", "json://127.0.0.1:{7950}/tpl"),
        ("tgram://{bottoken}/{ChatID}", "tgram://{bottoken}/{ChatID}"),
        ("tgram://123456:ABC-def/987", "tgram://***/***"),
        ("tgram://123456:ABC-def/{chat}?silent=yes", "tgram://***/{chat}***"),
        ("jsons://user:pass@host/path?+X-Token=abc&a=b", "jsons://***@host/path?+X-Token=***&a=***"),
        ("json://{secrets.a.user}:{secrets.a.pass}@host", "json://{secrets.a.user}***{secrets.a.pass}@host"),
        ("json://h/a, tgram://t0ken/1\n  xml://h/b", "json://h/a, tgram://***/***\n  xml://h/b"),
        ("{secrets.phone.url}", "{secrets.phone.url}"),
        ("{scheme}://t0ken", "{scheme}***//***"),
    ],
)
def test_the_list_shows_templates_and_no_credentials(configured: str, shown: str) -> None:
    assert shown_urls(configured) == shown


def test_attachments_are_shown_without_user_info() -> None:
    assert shown_attach(None) is None
    assert shown_attach("http://cam/?action=snapshot\na.jpg") == "http://cam/?action=snapshot\na.jpg"
    assert shown_attach("http://me:pw@cam/s.jpg") == "http://***@cam/s.jpg"


def test_an_error_of_a_service_is_shown_without_the_parts_of_its_url() -> None:
    hidden = hidden_parts("tgram://12345:AbCdEf/987654?thread=t%40pic")
    text = mask("POST /bot12345:AbCdEf/send to 987654 (t@pic, t%40pic) failed", hidden)
    assert text == "POST /bot***:***/send to *** (***, ***) failed"
    host = mask("no answer of host.local for /path, user joanna", hidden_parts("json://joanna:secret@host.local/path"))
    assert host == "no answer of host.local for /path, user ***"


WORD = st.text("abcdefgh0123456789", min_size=6, max_size=12)


@given(WORD, WORD, st.sampled_from(["tgram", "discord", "slack", "mailto", "ntfy"]))
def test_nothing_written_out_survives(token: str, chat: str, scheme: str) -> None:
    shown = shown_urls(f"{scheme}://{token}/{chat}")
    assert token not in shown and chat not in shown and shown.startswith(f"{scheme}://")
