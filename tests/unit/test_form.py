"""multipart/form-data: however it is cut into pieces, the same parts come out."""

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bus.errors import Fault
from services.gateway.form import LARGEST_HEADER, MOST_PARTS, FormReader, Part, read_boundary

B = b"golden-boundary"


def part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'--{B.decode()}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def read(body: bytes, cuts: list[int] | None = None) -> tuple[list[tuple[Part, bytes]], bool]:
    reader = FormReader(B)
    parts: list[tuple[Part, bytes]] = []
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts or []), len(body)]
    for start, end in itertools.pairwise(edges):
        for event in reader.feed(body[start:end]):
            if isinstance(event, Part):
                parts.append((event, b""))
            else:
                parts[-1] = (parts[-1][0], parts[-1][1] + event)
    return parts, reader.ended


nasty = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"\r\n--", B, b"\r\n--golden-boundar", b"x", b"\0", b"\xff" * 50]),
    max_size=12,
).map(b"".join)


@given(contents=st.lists(nasty, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 1500), max_size=20))
def test_any_content_comes_out_of_any_pieces(contents: list[bytes], cuts: list[int]) -> None:
    assume(not any(b"--" + B in content for content in contents))
    body = b"".join(part(f"p{n}", content) for n, content in enumerate(contents)) + b"--" + B + b"--\r\nepilogue"
    parts, ended = read(body, cuts)
    assert ended and [content for _, content in parts] == contents
    assert [p.name for p, _ in parts] == [f"p{n}" for n in range(len(contents))]


@given(body=st.binary(max_size=400) | st.lists(nasty, max_size=6).map(lambda ps: b"--" + B + b"\r\n" + b"".join(ps)),
       cuts=st.lists(st.integers(0, 400), max_size=5))  # fmt: skip
def test_rubbish_is_refused_or_unfinished(body: bytes, cuts: list[int]) -> None:
    try:
        _, ended = read(body, cuts)
    except Fault as fault:
        assert fault.code in (400, 413)
    else:
        assert not ended or b"--" + B + b"--" in body


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('; filename="a b\'c.gcode"', "a b'c.gcode"),
        ('; filename="a;b.gcode"', "a;b.gcode"),
        (r'; filename="a\"b\\c.gcode"', r'a"b\c.gcode'),
        ('; filename="100%41.gcode"', "100%41.gcode"),
        ("; filename=plain.gcode", "plain.gcode"),
        ("; filename=\"x.gcode\"; filename*=UTF-8''%C3%BC.gcode", "ü.gcode"),
        ('; filename="ünï.gcode"', "ünï.gcode"),
        ('; FileName="A.gcode"', "A.gcode"),
        ('; filename=""', ""),
        ("", None),
    ],
)
def test_file_names(disposition: str, filename: str | None) -> None:
    parts, _ = read(part("file", b"x", disposition))
    assert parts[0][0] == Part("file", filename)


@pytest.mark.parametrize(
    "broken",
    [
        b"--" + B + b"rest\r\n\r\nx",
        b"--" + B + b" " * 500,
        b"--" + B + b"\r\nX: " + b"x" * LARGEST_HEADER + b"\r\n",
        part("file", b"", '; filename="\udcff"'.encode("utf-8", "surrogateescape").decode("latin-1")).replace(
            "ÿ".encode(), b"\xff"
        ),
        part("file", b"", "; filename*=UTF-8''%FF"),
        part("file", b"", "; filename*=nonsense''%41"),
        part("file", b"", '"\r\nContent-Transfer-Encoding: base64\r\nX: "'),
    ],
)
def test_broken_forms_are_refused(broken: bytes) -> None:
    with pytest.raises(Fault) as refused:
        read(broken)
    assert refused.value.code == 400


def test_parts_without_end_are_refused() -> None:
    with pytest.raises(Fault) as refused:
        read(part("x", b"") * (MOST_PARTS + 1))
    assert refused.value.code == 413


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b;c"', b"a b;c"),
        ("Multipart/Form-Data; charset=utf-8; BOUNDARY=----WebKit7", b"----WebKit7"),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/mixed; boundary=abc", None),
        ("application/json", None),
        ("", None),
    ],
)
def test_boundaries(content_type: str, boundary: bytes | None) -> None:
    if boundary is not None:
        assert read_boundary(content_type) == boundary
        return
    with pytest.raises(Fault) as refused:
        read_boundary(content_type)
    assert refused.value.code == 400
