"""Encodings: named, shown by a file, and found by trying."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from common.data.encodings import check_encoding, fitting, text_encoding
from common.data.reading import (
    byte_lines,
    check_encoded,
    decode_line,
    numbered_lines,
    read_content,
)
from common.errors import UserError

KOREAN = "커피 두 잔 주세요.\tTwo coffees\n\n오늘은 비가 와요!\tIt rains\n내일 봐요"
TEXTS = {
    "cp949": KOREAN,
    "cp932": "コーヒーを二つください。\tcoffee\n今日は雨が降っています。\train\n",
    "euc_jp": "コーヒーを二つください。\tcoffee\n今日は雨が降っています。\train\n",
    "gb18030": "我喜欢喝热茶。\ttea\n今天下雨了。\train\n这本书多少钱？\tbook\n",
    "big5": "請給我兩杯咖啡。\ttea\n今天下雨了。\train\n這本書多少錢？\tbook\n",
    "cp1252": "Die Männer gehen über die Straße.\tmen\nDas Mädchen läuft schön.\tgirl\n",
    "cp1250": "Dziewczynka wspina się po schodach, żeby zobaczyć księżyc.\tgirl\n",
    "cp1251": "Девочка поднимается по лестнице.\tgirl\nГде вокзал?\tstation\n",
    "koi8_r": "Девочка поднимается по лестнице.\tgirl\nГде вокзал?\tstation\n",
    "cp1253": "Το κορίτσι ανεβαίνει τη σκάλα.\tgirl\n",
    "cp1255": "הילדה עולה במדרגות.\tgirl\n",
    "cp1256": "تصعد الفتاة الدرج إلى البيت.\tgirl\n",
    "cp874": "เด็กผู้หญิงกำลังขึ้นบันได\tgirl\n",
}


def lines_of(path: Path, encoding: str | None = None) -> list[str]:
    with text_encoding(encoding):
        lines = byte_lines(path)
    return [decode_line(line) for line in lines]  # read after the block


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("text", [KOREAN, "plain\nascii\n", TEXTS["cp1252"], "커피\n잔\n"])
def test_unicode_is_recognised_with_a_mark_and_utf_16_without_one(
    tmp_path: Path, text: str, encoding: str, pack
) -> None:
    (tmp_path / "text").write_bytes(pack(text.encode(encoding)))
    lines = text.removesuffix("\n").split("\n")
    assert lines_of(tmp_path / "text") == lines
    assert lines_of(tmp_path / "text", encoding) == lines
    assert read_content(tmp_path / "text") == text


@pytest.mark.parametrize(
    "encoding", ["cp949", "euc-kr", "iso2022_kr", "utf-7", "UTF-16LE", "johab"]
)
def test_the_encoding_that_is_named_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "text").write_bytes(KOREAN.encode(encoding))
    assert lines_of(tmp_path / "text", encoding) == KOREAN.split("\n")


@pytest.mark.parametrize("encoding", TEXTS)
def test_encodings_that_fit_are_found(encoding: str) -> None:
    found = fitting(TEXTS[encoding].encode(encoding).splitlines(keepends=True))
    assert found[0] == encoding and len(found) <= 3
    assert fitting([b"plain\n"]) == fitting([bytes(range(256))]) == []


def test_a_file_in_another_encoding_is_named_with_its_place_and_what_would_fit(
    tmp_path: Path,
) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"ascii\n" + KOREAN.encode("cp949"))
    message = re.escape(f"{path}:2: not UTF-8 text (byte 0xc7). All of it can be read as cp949")
    for read in (
        lambda: [*numbered_lines(path)],
        lambda: check_encoded(path),
        lambda: read_content(path),
    ):
        with (
            pytest.raises(UserError, match=message + ": add --encoding cp949"),
            text_encoding(None),
        ):
            read()
    with pytest.raises(UserError, match="from cp949 to UTF-8"):  # where it cannot be named
        [*numbered_lines(path)]
    with (
        pytest.raises(UserError, match="not text in the encoding that is named. All of it"),
        text_encoding("ascii"),
    ):
        check_encoded(path)
    path.write_bytes(b"fine\n\xff\x81 damaged\n" + KOREAN.encode())
    check_encoded(path)  # damage, and not another encoding
    path.write_text(KOREAN, encoding="utf-8")
    check_encoded(path)


def test_a_line_that_is_not_in_the_encoding_is_damage_alone(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("가\n".encode("cp949") + b"\xff\xff\n" + "나\n".encode("cp949"))
    with text_encoding("cp949"):
        lines = [*byte_lines(tmp_path / "text")]
    assert [decode_line(lines[row]) for row in (0, 2)] == ["가", "나"]
    with pytest.raises(Exception, match="not text in the encoding that is named"):
        decode_line(lines[1])
    assert set(decode_line(lines[1], errors="replace")) == {"\ufffd"}


@pytest.mark.parametrize("name", ["nope", "", "zlib", "rot13", "base64", "ko\0", "undefined"])
def test_an_encoding_that_there_is_not_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(UserError, match="there is no such encoding. Some are utf-8") as error:
        check_encoding(name)
    assert "\n" not in str(error.value)
