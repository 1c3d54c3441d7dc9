"""The English and Korean words of the phrases, and the combinations that make sense."""

from __future__ import annotations

from dataclasses import dataclass

from common.synthetic.phrases.korean import Predicate


@dataclass(frozen=True)
class Noun:
    """A thing, an animal or a person.

    Args:
        english, korean: the word.
        counter: the Korean counter, as in 개 세 마리; empty for nouns that are not counted.
        adjectives: names of those that it can have, separated by blanks.
        plural: in English; regular if empty.
        container: in which it is counted in English: cups of coffee.
    """

    english: str
    korean: str
    counter: str = ""
    adjectives: str = ""
    plural: str = ""
    container: str = ""


@dataclass(frozen=True)
class Adjective:
    """An adjective.

    Args:
        english: the word.
        attributive: the Korean form before a noun.
        predicate: in Korean; None if it is used before nouns only.
    """

    english: str
    attributive: str
    predicate: Predicate | None = None


@dataclass(frozen=True)
class Verb:
    """A verb.

    Args:
        english: its base form, with a preposition if it has one: wait for.
        korean: the verb.
        past: in English; regular if empty.
        objects: its direct objects, separated by blanks.
        places: where it can take place, separated by blanks.
        habitual: whether it goes with "every day", and its negation with "these days".
        animals: whether dogs and cats can be its subject.
        never: an adjective that its object cannot have: to build an old house.
    """

    english: str
    korean: Predicate
    past: str = ""
    objects: str = ""
    places: str = ""
    habitual: bool = False
    animals: bool = False
    never: str = ""


@dataclass(frozen=True)
class Place:
    """A place.

    Args:
        english, korean: the word.
        at, to: the English prepositions, with an article if it needs one.
        far: whether one can go there by bus.
    """

    english: str
    korean: str
    at: str = "in the"
    to: str = "to the"
    far: bool = True


_FOOD = "big small fresh expensive delicious"
_ANIMAL = "big small black white"
_THING = "new old big small red black cheap expensive"
_VEHICLE = "new old red black white cheap expensive"
_PERSON = "kind famous busy"

NOUNS = {
    noun.english: noun
    for noun in (
        Noun("apple", "사과", "개", _FOOD + " red"),
        Noun("egg", "달걀", "개", "big small fresh"),
        Noun("potato", "감자", "개", _FOOD, plural="potatoes"),
        Noun("bread", "빵", adjectives="fresh delicious cheap expensive"),
        Noun("coffee", "커피", "잔", "hot cold delicious", container="cup"),
        Noun("milk", "우유", "잔", "hot cold fresh delicious", container="glass"),
        Noun("juice", "주스", "잔", "cold fresh delicious", container="glass"),
        Noun("water", "물", "잔", "hot cold", container="glass"),
        Noun("book", "책", "권", "new old heavy interesting expensive"),
        Noun("novel", "소설", "권", "new old long interesting"),
        Noun("letter", "편지", "통", "old long interesting"),
        Noun("photo", "사진", "장", "old small pretty"),
        Noun("song", "노래", "곡", "new old long beautiful"),
        Noun("dog", "개", "마리", _ANIMAL + " pretty"),
        Noun("cat", "고양이", "마리", _ANIMAL + " pretty"),
        Noun("rabbit", "토끼", "마리", _ANIMAL),
        Noun("bird", "새", "마리", _ANIMAL + " beautiful"),
        Noun("horse", "말", "마리", _ANIMAL + " beautiful"),
        Noun("bag", "가방", "개", _THING + " heavy"),
        Noun("hat", "모자", "개", _THING + " pretty"),
        Noun("chair", "의자", "개", _THING + " heavy"),
        Noun("box", "상자", "개", "big small red heavy", plural="boxes"),
        Noun("umbrella", "우산", "개", _THING + " pretty"),
        Noun("door", "문", "개", "big small red heavy"),
        Noun("window", "창문", "개", "big small"),
        Noun("car", "자동차", "대", _VEHICLE + " big"),
        Noun("bicycle", "자전거", "대", _VEHICLE),
        Noun("camera", "카메라", "대", "new old small cheap expensive heavy"),
        Noun("house", "집", "채", "new old big small beautiful"),
        Noun("flower", "꽃", "송이", "red white pretty"),
        Noun("tree", "나무", "그루", "old big small beautiful"),
        Noun("friend", "친구", "명", _PERSON),
        Noun("student", "학생", "명", _PERSON),
        Noun("child", "아이", "명", "kind", plural="children"),
        Noun("boy", "소년", "명"),
        Noun("girl", "소녀", "명"),
        Noun("doctor", "의사", "명", _PERSON),
        Noun("singer", "가수", "명", _PERSON),
    )
}

_STEMS = {
    "big": "크", "small": "작", "black": "검", "cheap": "싸", "expensive": "비싸", "pretty": "예쁘",
    "fresh": "신선하", "delicious": "맛있", "interesting": "재미있", "long": "길", "kind": "친절하",
    "famous": "유명하", "busy": "바쁘", "quiet": "조용하",
}  # fmt: skip
_IRREGULAR_STEMS = {
    "red": "빨갛", "white": "하얗", "heavy": "무겁", "hot": "뜨겁", "cold": "차갑",
    "cold place": "춥", "beautiful": "아름답",
}  # fmt: skip
ADJECTIVES = {"new": Adjective("new", "새"), "old": Adjective("old", "오래된")} | {
    name: Adjective(name.split()[0], korean.attributive, korean)
    for stems in (_STEMS, _IRREGULAR_STEMS)
    for name, stem in stems.items()
    for korean in [Predicate(stem, irregular=stems is _IRREGULAR_STEMS, adjective=True)]
}

# The predicates of sentences like "the bag is heavy"; OF_THE_MOMENT take an adverbial of time.
OF_THINGS = ("big", "red", "expensive", "heavy", "pretty", "delicious", "long")
OF_PEOPLE = ("busy", "kind")
OF_PLACES = ("quiet", "beautiful", "cold place")
OF_THE_MOMENT = ("busy", *OF_PLACES)

PLACES = {
    place.english: place
    for place in (
        Place("park", "공원"),
        Place("market", "시장", "at the"),
        Place("library", "도서관"),
        Place("school", "학교", "at", "to"),
        Place("restaurant", "식당", "at the"),
        Place("station", "역", "at the"),
        Place("garden", "정원", far=False),
        Place("kitchen", "부엌", far=False),
        Place("room", "방", far=False),
    )
}

_PEOPLE = "friend student child doctor singer"

# With an object: "Minsu ate an apple".
TRANSITIVE = (
    Verb("eat", Predicate("먹"), "ate", "apple egg potato bread",
         "park restaurant kitchen school", habitual=True, animals=True),
    Verb("drink", Predicate("마시"), "drank", "coffee milk juice water",
         "park restaurant kitchen school", habitual=True),
    Verb("buy", Predicate("사"), "bought",
         "apple egg potato bread milk book bag hat chair umbrella car bicycle camera flower",
         "market station", habitual=True),
    Verb("sell", Predicate("팔"), "sold",
         "apple egg potato bread coffee juice book bag hat umbrella bicycle horse flower",
         "market station park", habitual=True),
    Verb("read", Predicate("읽"), "read", "book novel letter", "library park school room",
         habitual=True),
    Verb("write", Predicate("쓰"), "wrote", "novel letter book", "library school room",
         habitual=True, never="old"),
    Verb("choose", Predicate("고르"), "chose", "book bag hat camera bicycle umbrella flower photo",
         "market"),
    Verb("draw", Predicate("그리"), "drew", "dog cat rabbit bird horse apple egg flower tree house car",
         "park garden school room", habitual=True),
    Verb("see", Predicate("보"), "saw", "dog cat rabbit bird horse singer photo tree car",
         "park station", animals=True),
    Verb("meet", Predicate("만나"), "met", _PEOPLE, "park station restaurant", habitual=True),
    Verb("help", Predicate("돕", irregular=True), "", _PEOPLE, "school garden kitchen",
         habitual=True),
    Verb("wait for", Predicate("기다리"), "", _PEOPLE, "park station library", habitual=True),
    Verb("listen to", Predicate("듣", irregular=True), "", "song", "park room kitchen",
         habitual=True),
    Verb("sing", Predicate("부르"), "sang", "song", "park room restaurant", habitual=True),
    Verb("fix", Predicate("고치"), "", "car bicycle camera chair umbrella door", never="new"),
    Verb("make", Predicate("만들"), "made", "bag hat chair box bread juice", "room kitchen",
         never="old"),
    Verb("build", Predicate("짓", irregular=True), "built", "house", never="old"),
    Verb("pick up", Predicate("줍", irregular=True), "", "apple hat photo letter potato",
         "park station garden"),
    Verb("open", Predicate("열"), "", "door window box bag"),
    Verb("close", Predicate("닫"), "", "door window box bag"),
)  # fmt: skip

# With a direct and an indirect object: "Minsu gave an apple to the girl".
GIVING = (
    Verb("give", Predicate("주"), "gave", "apple egg bread milk juice book letter hat bag flower"),
    Verb("show", Predicate("보여 주"), "showed", "photo book letter bag camera dog"),
    Verb("send", Predicate("보내"), "sent", "letter photo book flower"),
)

# To a place: "Minsu went to the park by bus".
MOTION = (
    Verb("go", Predicate("가"), "went", habitual=True),
    Verb("come", Predicate("오"), "came", habitual=True),
)

INTRANSITIVE = (
    Verb("play", Predicate("놀"), "", "", "park garden room school", True, True),
    Verb("sleep", Predicate("자"), "slept", "", "room park garden library", True, True),
    Verb("walk", Predicate("걷", irregular=True), "", "", "park garden", True, True),
    Verb("run", Predicate("달리"), "ran", "", "park garden school", True, True),
    Verb("rest", Predicate("쉬"), "", "", "park garden room library", True, True),
    Verb("work", Predicate("일하"), "", "", "library restaurant station market", True),
    Verb("study", Predicate("공부하"), "", "", "library school room", True),
    Verb("laugh", Predicate("웃"), "", "", "park school kitchen", True),
)

# For "there is": the nouns of each place.
FOUND = {
    "park": "dog cat rabbit bird horse tree flower chair child student",
    "garden": "dog cat rabbit bird tree flower chair box",
    "library": "book novel chair window student child",
    "school": "tree chair student child bicycle",
    "kitchen": "apple egg potato chair box cat window",
    "room": "bag hat chair box umbrella camera book window",
    "market": "bicycle box child cat horse",
    "station": "bicycle car chair student singer",
}

NAMES = (("Minsu", "민수"), ("Jimin", "지민"), ("Yuna", "유나"), ("Sujin", "수진"))
NUMBERS = (
    ("one", "한"), ("two", "두"), ("three", "세"), ("four", "네"), ("five", "다섯"),
    ("six", "여섯"), ("seven", "일곱"), ("eight", "여덟"), ("nine", "아홉"), ("ten", "열"),
)  # fmt: skip
VEHICLES = (
    ("bus", "버스"), ("train", "기차"), ("subway", "지하철"), ("truck", "트럭"),
    ("bicycle", "자전거"),
)  # fmt: skip

# Adverbials of time by tense: present, past, future.
TIMES = (
    (("on weekends", "주말에"), ("in the morning", "아침에")),
    (("yesterday", "어제"), ("today", "오늘"), ("last week", "지난주에"), ("last night", "어젯밤에"),
     ("this morning", "오늘 아침에")),
    (("tomorrow", "내일"), ("today", "오늘"), ("next week", "다음 주에"), ("tonight", "오늘 밤에")),
)  # fmt: skip
EVERY_DAY = (("every day", "매일"), ("every morning", "매일 아침"))
THESE_DAYS = ("these days", "요즘")

# Combinations that are absent from training, in any form: verb and object, number and noun,
# adjective and noun. Each word of them occurs in training in many other combinations.
HELD_OUT_OBJECTS = frozenset(
    {
        ("eat", "egg"), ("drink", "juice"), ("buy", "bicycle"), ("sell", "hat"), ("read", "letter"),
        ("choose", "camera"), ("draw", "rabbit"), ("see", "bird"), ("meet", "singer"),
        ("help", "doctor"), ("fix", "umbrella"), ("make", "chair"), ("pick up", "photo"),
        ("open", "window"), ("close", "door"), ("give", "milk"), ("show", "bag"),
    }
)  # fmt: skip
HELD_OUT_NUMBERS = frozenset(
    {
        ("two", "hat"), ("three", "book"), ("four", "student"), ("five", "cat"), ("six", "flower"),
        ("seven", "apple"), ("eight", "bicycle"), ("nine", "chair"), ("ten", "letter"),
        ("two", "coffee"), ("three", "child"), ("five", "novel"), ("six", "dog"),
    }
)  # fmt: skip
HELD_OUT_ADJECTIVES = frozenset(
    {
        ("red", "bag"), ("new", "car"), ("big", "dog"), ("expensive", "camera"),
        ("delicious", "bread"), ("small", "box"), ("white", "cat"), ("black", "hat"),
        ("hot", "milk"), ("interesting", "novel"), ("fresh", "egg"), ("heavy", "chair"),
        ("kind", "doctor"), ("cheap", "umbrella"), ("old", "tree"), ("pretty", "flower"),
    }
)  # fmt: skip
