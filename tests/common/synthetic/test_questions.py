"""Questions about countries: every fact is known, and asked for in a wording that is held out."""

from common.synthetic.questions import questions_and_answers


def test_one_wording_of_each_fact_is_held_out():
    found = questions_and_answers()
    assert len(found["train"]) == 240 and len(found["val"]) == 60
    assert {pair.target for pair in found["val"]} == {pair.target for pair in found["train"]}
    assert not {p.source for p in found["val"]} & {p.source for p in found["train"]}
    assert ("which city is the capital of france?", "the capital of france is paris.") in [
        pair for pairs in found.values() for pair in pairs
    ]
    assert questions_and_answers(1)["val"] != found["val"]
