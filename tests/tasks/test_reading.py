"""CSV, JSON and text, as they come and as they should not."""

import pytest

from boltq import DataError
from boltq.tasks.reading import MAX_ROWS, format_of, json_of, rows_of, text_of


@pytest.mark.parametrize(
    ("content_type", "path", "format"),
    [
        ("application/json", "/x", "json"),
        ("application/vnd.api+json; charset=utf-8", "/x.csv", "json"),
        ("text/csv; header=present", "/x", "csv"),
        ("TEXT/CSV", "/x.json", "csv"),
        ("text/tab-separated-values", "/x", "csv"),
        ("", "/data.csv", "csv"),
        ("application/octet-stream", "/DATA.CSV", "csv"),
        ("text/plain; charset=utf-8", "/data.json", "json"),
        ("text/plain", "/data", "text"),
        ("text/html", "/data.csv", "text"),
        ("", "/", "text"),
    ],
)
def test_what_an_answer_is(content_type, path, format):
    assert format_of(content_type, path) == format


def test_rows_are_objects_named_by_the_first_line():
    text = 'name,"full ""city""",,zip\r\nAnn,"Gh,ent\nEast",x,0090\r\n\r\nBob,,y,1e3\r\n'
    assert rows_of(text, ",", numbers=False) == [
        {"name": "Ann", 'full "city"': "Gh,ent\nEast", "column_3": "x", "zip": "0090"},
        {"name": "Bob", 'full "city"': "", "column_3": "y", "zip": "1e3"},
    ]
    assert rows_of("a;b\n1;2", ";", numbers=False) == [{"a": "1", "b": "2"}]
    assert rows_of("a,b\n", ",", numbers=False) == []


def test_numbers_only_where_they_are_asked_for_and_nothing_is_lost():
    text = "n\n1\n-2.50\n1e3\n007\n+1\n1,5\n0x1f\nnan\n 1\n9007199254740993\n1e999\n-0\n"
    cells = [row["n"] for row in rows_of(text.replace("1,5", '"1,5"'), ",", numbers=True)]
    assert cells == [1, -2.5, 1000.0, "007", "+1", "1,5", "0x1f", "nan", " 1", "9007199254740993", "1e999", 0]
    assert all(isinstance(row["n"], str) for row in rows_of("n\n1\n2.5\n", ",", numbers=False))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no first line"),
        ("a,b\n1,2\n1\n", "line 3 has 1 cells, but the first one 2"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells"),
        ("a,a\n1,2\n", "columns 1 and 2 have one name"),
        ('a,b\n"1,2\n', "line 2: unexpected end of data"),
        ('a,b\n"1"x,2\n', "line 2: "),
        ("a\n" + "x" * 200_000, "line 2: field larger than field limit"),
        ("a\n" + "1\n" * (MAX_ROWS + 1), "more than 100000 rows"),
    ],
)
def test_bad_csv_is_refused_with_its_line(text, reason):
    with pytest.raises(DataError, match=reason):
        rows_of(text, ",", numbers=False)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "NaN", "[1e999]", '{"a":1} x', "[" * 100_000, '"\\ud800"'])
def test_bad_json_is_refused(text):
    with pytest.raises(DataError, match="not JSON"):
        json_of(text)


def test_json_is_a_value():
    assert json_of('{"a": [1, 2.5, null, true, "é"]}') == {"a": [1, 2.5, None, True, "é"]}


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        ("é€".encode(), "", None),
        ("é€".encode("utf-8-sig"), "text/csv", None),
        ("é€".encode("utf-16"), "text/csv; charset=utf-8", None),
        ("é€".encode("windows-1252"), "text/csv; charset=windows-1252", None),
        ("é€".encode("windows-1252"), "text/csv", "windows-1252"),
        ("é€".encode("iso-8859-15"), 'text/csv; charset="ISO-8859-15"; header=present', None),
    ],
)
def test_text_by_its_mark_or_its_encoding(body, content_type, encoding):
    assert text_of(body, content_type, encoding) == "é€"


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "reason"),
    [
        (b"caf\xe9", "", None, "not utf-8: byte 3 cannot stand there"),
        (b"\xff\xd8\xff\xe0", "image/jpeg", None, "not utf-8"),
        (b"\x81", "text/plain; charset=windows-1252", None, "not windows-1252"),
        (b"x", "text/plain; charset=klingon", None, "is not known"),
        (b"x", "", "hex", "is not known"),
        (b"x" * 1_000_000, "text/plain; charset=idna", None, "is not known"),
        (b"x", "", "unicode_escape", "is not known"),
        (b"x", "", "punycode", "is not known"),
        (b"x", "", "a\x00b", "is not known"),
    ],
)
def test_bad_encodings_are_refused(body, content_type, encoding, reason):
    with pytest.raises(DataError, match=reason):
        text_of(body, content_type, encoding)
