"""Columns of a table: which of them hold sentences, and whether its first line names them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.data.records import Fields
from common.errors import UserError

_OTHER = ("", "split", "id", "index", "label")  # names of columns that hold no sentences
# What columns are called: ISO 639-1, what corpora use of 639-3, English names, and other words.
_CODES = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id
ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu
lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu
rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr
ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu afr ara ben bul cat ces cmn dan deu ell
eng epo est eus fas fin fra fre ger gle heb hin hrv hun hye ind isl ita jpn kat kaz khm kor lat lav
lit mar mkd mon msa nld nob nor pes pol por ron rus slk slv spa sqi srp swa swe swh tam tel tgl tha
tur ukr urd uzb vie yue zho
"""
_WORDS = """
afrikaans albanian amharic arabic armenian azerbaijani basque belarusian bengali bosnian breton
bulgarian burmese cantonese catalan chinese croatian czech danish dutch english esperanto estonian
filipino finnish french galician georgian german greek gujarati hausa hebrew hindi hungarian
icelandic igbo indonesian irish italian japanese kannada kazakh khmer korean kurdish lao latin
latvian lithuanian macedonian malay malayalam maltese mandarin marathi mongolian nepali norwegian
pashto persian polish portuguese punjabi romanian russian serbian sinhala slovak slovenian somali
spanish swahili swedish tagalog tamil telugu thai tibetan turkish ukrainian urdu uyghur uzbek
vietnamese welsh yoruba zulu source target src tgt split index label text sentence sentences
translation input output question answer number score attribution
"""
_NAMES = frozenset((_CODES + _WORDS).split())
CODES = frozenset(_CODES.split())  # of languages


def names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns, rather than being a pair of sentences.

    Each of its cells is the code or the English name of a language or another usual name, as in
    `English`, `pt-BR` or `source_text`; or it has words above a column of numbers.
    """
    if not rows:
        return False
    first, rest = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    cells = [cell.strip().lower() for cell in first if cell.strip()]
    if len(set(cells)) > 1 and all(map(_is_name, cells)):
        return True
    return len(rest) > 1 and any(
        re.fullmatch(r"[^\W\d]+( [^\W\d]+)*", cell.strip()) and all(map(_is_number, column))
        for cell, *column in zip(first, *rest, strict=True)
    )


def _is_name(cell: str) -> bool:
    code = re.fullmatch(r"([a-z]{2,3})[-_][a-z0-9]{2,8}", cell)  # pt-br, zh_hans
    words = [code[1]] if code else re.split(r"[\s_-]+", cell)
    return len(words) < 4 and _NAMES.issuperset(words)


def _is_number(text: str) -> bool:
    return any(map(str.isdigit, text)) and not any(map(str.isalpha, text))


def is_text(column: str) -> bool:
    """Whether a column of this name may hold sentences."""
    name = re.sub(r" \d+$", "", column.strip())  # a second column of a name has a number
    return name.lower() not in _OTHER


def choose(
    path: Path, there: Iterable[str], source: str | None, target: str | None, what: str
) -> tuple[str, str]:
    """The two languages to translate between.

    Args:
        path: for messages.
        there: the languages that the data has.
        source, target: as the user names them; None takes what is left, if there are only two.
        what: a word for them in messages: languages, columns, keys.

    Raises:
        UserError: one is not there; or there are more than two, and not all are named.
    """
    there = list(dict.fromkeys(there))
    names = ", ".join(there)
    if len(there) < 2:
        raise UserError(f"{path}: no two {what} in it, but {names or 'none'}.")
    for name in (source, target):
        if name is not None and name not in there:
            raise UserError(f"{path}: no {name!r} among the {what} {names}.")
    if source is not None and source == target:
        raise UserError(f"{path}: source and target are both {source!r}; name two {what}.")
    if len(there) > 2 and (source is None or target is None):
        raise UserError(
            f"{path}: the {what} {names} are there. Name two of them, --source and --target "
            "(source= and target= in code)."
        )
    rest = [name for name in there if name not in (source, target)]
    return source or rest.pop(0), target or rest.pop(0)


def choose_columns(
    path: Path,
    names: Sequence[str],
    rows: Iterable[Fields],
    source: str | None,
    target: str | None,
    what: str,
    *,
    first_two: bool = False,
) -> tuple[tuple[str, str], list[str]]:
    """The two columns to translate between, by their names and by what is in them.

    Args:
        path: for messages.
        names: of the columns.
        rows: some of them.
        source, target: as the user names them, whatever is in them.
        what: a word for columns in messages.
        first_two: take the first two that hold sentences, where there are more.

    Returns:
        The columns; and what was chosen and why, where there was a choice: at most one line.

    Raises:
        UserError: as from `choose`.
    """
    texts, rows = [name for name in names if is_text(name)], list(rows)
    found = {name: _not_sentences([row.get(name) for row in rows]) for name in texts}
    reasons = {name: reason for name, reason in found.items() if reason}
    there = [name for name in texts if name not in reasons] if len(texts) > 2 else texts

    def explained(names: Sequence[str], between: str = ", ") -> str:
        return between.join(f"{n} ({reasons[n]})" if n in reasons else n for n in names)

    if len(there) < 2 and reasons and (source is None or target is None):
        raise UserError(
            f"{path}: no two {what} with sentences among {explained(texts)}. Name two of them, "
            "--source and --target (source= and target= in code)."
        )
    several = len(there) > 2
    there = there[:2] if first_two else there
    named = [name for name in (source, target) if name is not None and name in names]
    why = ", as named" if named else ", the first two with sentences" if several else ""
    chosen = choose(path, [*there, *named], source, target, what)
    unread = [name for name in names if name not in (*chosen, "split", "")]
    if not unread and not reasons:
        return chosen, []
    note = f"{path.name}: {what} {explained(chosen, ' and ')}{why}"
    return chosen, [note + f"; not read: {explained(unread)}" if unread else note]


_ENOUGH = 10  # rows that must be alike for a column to hold no sentences


def _not_sentences(values: Sequence[object]) -> str:
    """Why the values of a column are no sentences; empty if they may be some."""
    texts = [text for text in values if isinstance(text, str) and text.strip()]
    if sum(map(_is_number, texts)) * 2 > len(texts):
        return "numbers"
    if sum(re.match(r"\w+://\S+$", text) is not None for text in texts) * 2 > len(texts):
        return "addresses"
    return "always the same" if len(texts) >= _ENOUGH and len({*texts}) == 1 else ""
