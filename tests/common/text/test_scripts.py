"""Scripts without blanks between words are known by their signs."""

from __future__ import annotations

import pytest

from common.text.scripts import sign_by_sign, written_without_blanks


@pytest.mark.parametrize(
    "text",
    [
        "一个男人在草地上奔跑",
        "你好",
        "我喜欢小狗，你呢？ 我也喜欢。",
        "一匹の犬が、草の上を走っている。",
        "コーヒーカップ",
        "ชายคนหนึ่งกำลังวิ่งอยู่ บนสนามหญ้า",
        "ຜູ້ຊາຍກຳລັງແລ່ນ",
        "បុរសម្នាក់កំពុងរត់",
        "ကျွန်တော်ကျောင်းသွားမယ်",
        "他用Python写了一个很长的程序",
    ],
)
def test_a_script_without_blanks(text):
    assert written_without_blanks([text])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "123 , .",
        "a man runs",
        "나는 어제 학교에 갔다",
        "사람",
        "एक आदमी दौड़ रहा है",
        "رجل يركض",
        "我 喜欢 小 狗",  # words that were put apart
        "ผู้ชาย กำลัง วิ่ง",
        "the sign says 出口 in red letters",
    ],
)
def test_a_text_with_blanks(text):
    assert not written_without_blanks([text])


def test_most_of_a_text_decides():
    assert written_without_blanks(["一个男人在草地上奔跑"] * 3 + ["a man"])
    assert not written_without_blanks(["一个男人在草地上奔跑"] + ["a man runs on the grass"] * 9)


def test_only_signs_are_words_of_their_own():
    words = ["一个man在", "dog", "c'est", "한국", "กา"]
    assert sign_by_sign(words) == ["一", "个", "man", "在", "dog", "c'est", "한국", "ก", "า"]
