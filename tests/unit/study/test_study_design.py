"""What a study shows: pooled, without duplicates, with negatives and repeats, in a seeded order, and blind."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest

from icbir_core.errors import StudyError
from icbir_core.study.design import Study, StudyPlan, bound_answers, choose_queries, create_study
from icbir_core.study.exchange import export_study, import_study, load_study, save_study
from icbir_core.study.session import ReadingSession


def answer_all(session: ReadingSession, limit: int = 10**6) -> int:
    answered = 0
    while answered < limit and (item := session.next_item()) is not None:
        given = {"score": 3} if item.task == "similarity" else {}
        if item.task == "ranking":
            given = {"order": list(reversed(item.case_tokens))}
        elif item.task == "choice":
            given = {"chosen": item.case_tokens[0]}
        session.answer(item.token, time_ms=1000, **given)
        answered += 1
    return answered


def test_a_pool_holds_the_top_of_every_method_and_random_negatives_once(make_study):
    study = make_study()
    for query in study.queries:
        cases = [candidate.case_id for candidate in query.candidates]
        assert len(set(cases)) == len(cases) and query.case_id not in cases
        for method in study.methods:
            top = {c.case_id for c in query.candidates if c.ranks[method] <= study.k}
            assert len(top) == study.k
        assert sum(c.negative for c in query.candidates) == 2
        assert all(min(c.ranks.values()) > study.k for c in query.candidates if c.negative)


def test_identical_films_are_shown_once(catalogue, make_study):
    for i in range(0, len(catalogue), 2):
        catalogue[i] = replace(catalogue[i], pixel_sha256=catalogue[i + 1].pixel_sha256)
    study = make_study()
    films = {case.case_id: case.pixel_sha256 for case in catalogue}
    for query in study.queries:
        shown = [films[candidate.case_id] for candidate in query.candidates]
        assert len(set(shown)) == len(shown)


def test_repeats_are_ten_to_fifteen_percent_and_come_later(make_study):
    study = make_study(queries=8)
    items = sum(len(query.candidates) for query in study.queries)
    assert 0.09 < len(study.repeats) / items < 0.16
    steps = [step for step in study.steps("reader-a") if step.stage == 1]
    for query, case in study.repeats:
        places = [i for i, step in enumerate(steps) if (step.query, step.cases) == (query, (case,))]
        assert len(places) == 2 and places[1] - places[0] >= len(steps) // 3 or places[1] == len(steps) - 1


def test_each_reader_has_an_order_of_her_own_that_does_not_change(make_study):
    study = make_study(tasks=("similarity", "ranking", "choice"))
    orders = {reader: [(s.task, s.stage, s.query, s.cases) for s in study.steps(reader)] for reader in ("a", "b")}
    assert orders["a"] != orders["b"]
    assert sorted(map(str, [o[:3] for o in orders["a"]])) == sorted(map(str, [o[:3] for o in orders["b"]]))
    again = Study.from_dict(json.loads(json.dumps(study.as_dict())))
    assert again == study and again.steps("a") == study.steps("a")
    stages = [step.stage for step in study.steps("a")]
    assert stages == sorted(stages)  # no map is seen before the last judgement without maps


def test_what_a_page_receives_tells_nothing(make_study, tmp_path, open_ratings):
    study = make_study(tasks=("similarity", "ranking", "choice"))
    session = ReadingSession(open_ratings(tmp_path / "r.db"), study, "reader-a")
    names = {field.name for field in dataclasses.fields(session.next_item())}
    assert names == {"token", "query_token", "case_tokens", "task", "with_maps", "position", "total"}
    while (item := session.next_item()) is not None:
        text = repr(item)
        assert "case-" not in text and "good" not in text and "Effusion" not in text
        session.answer(item.token, cannot_judge=True)
    tokens = {reader: {step.token for step in study.steps(reader)} for reader in ("a", "b")}
    assert not tokens["a"] & tokens["b"]
    assert not {step.token for step in replace(study, salt="x").steps("a")} & tokens["a"]


def test_a_session_resumes_in_another_window_and_ends(make_study, tmp_path, open_ratings):
    study = make_study(tasks=("similarity", "ranking", "choice"))
    store = open_ratings(tmp_path / "r.db")
    first = ReadingSession(store, study, "reader-a")
    answer_all(first, 5)
    second = ReadingSession(open_ratings(tmp_path / "r.db"), study, "reader-a")
    assert second.next_item().position == 6
    assert answer_all(second) == second.total - 5
    assert second.next_item() is None
    assert ReadingSession(store, study, "reader-b").next_item().position == 1


def test_an_answer_can_be_corrected_and_both_are_kept(make_study, tmp_path, open_ratings):
    study = make_study()
    store = open_ratings(tmp_path / "r.db")
    session = ReadingSession(store, study, "reader-a")
    token = session.next_item().token
    session.answer(token, score=2)
    assert session.previous_item(session.next_item().token).token == token
    session.answer(token, score=5)
    assert [rating.score for rating in store.history()] == [2, 5]
    assert [rating.score for rating in store.latest()] == [5]


def test_answers_that_fit_no_item_are_refused(make_study, tmp_path, open_ratings):
    store = open_ratings(tmp_path / "r.db")
    ranking = ReadingSession(store, make_study(tasks=("ranking",)), "a")
    item = ranking.next_item()
    with pytest.raises(StudyError, match="place every case"):
        ranking.answer(item.token, order=item.case_tokens[:-1])
    choice = ReadingSession(store, make_study(tasks=("choice",)), "a")
    with pytest.raises(StudyError, match="choose one"):
        choice.answer(choice.next_item().token, chosen="other")
    with pytest.raises(StudyError, match="reload"):
        choice.answer("unknown", cannot_judge=True)
    assert store.count() == 0


def test_a_study_travels_with_every_rating_and_arrives_once(make_study, tmp_path, open_ratings):
    study = make_study()
    here, there = open_ratings(tmp_path / "here.db"), open_ratings(tmp_path / "there.db")
    save_study(here, study)
    session = ReadingSession(here, study, "reader-a")
    session.answer(session.next_item().token, score=1)
    session.answer(session.previous_item(session.next_item().token).token, score=4)
    assert export_study(here, "pilot", tmp_path / "pilot.zip") == 2
    report = import_study(there, tmp_path / "pilot.zip")
    assert (report.added, report.already) == (2, 0)
    assert import_study(there, tmp_path / "pilot.zip").already == 2
    assert there.history() == here.history() and load_study(there, "pilot") == study


def test_a_changed_or_foreign_file_is_refused(make_study, tmp_path, open_ratings):
    import zipfile

    store = open_ratings(tmp_path / "r.db")
    save_study(store, make_study())
    export_study(store, "pilot", tmp_path / "pilot.zip")
    with zipfile.ZipFile(tmp_path / "pilot.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["study.json"] = parts["study.json"].replace(b"case-001", b"case-002")
    with zipfile.ZipFile(tmp_path / "changed.zip", "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("changed.zip", "text.zip", "missing.zip"):
        with pytest.raises(StudyError, match="export"):
            import_study(store, tmp_path / name)
    with pytest.raises(StudyError, match="there are: pilot"):
        load_study(store, "other")


def test_queries_are_of_different_patients_and_carry_the_target(catalogue):
    chosen = choose_queries(catalogue, "Effusion", 6, seed=1)
    assert len({case.patient for case in chosen}) == 6 and all("Effusion" in case.present for case in chosen)
    assert chosen == choose_queries(catalogue, "Effusion", 6, seed=1)
    with pytest.raises(StudyError, match="fewer"):
        choose_queries(catalogue, "Effusion", 99)


def test_a_study_that_cannot_be_is_one_sentence(make_study):
    for changes in (
        dict(name="search"), dict(repeat_share=0.5), dict(queries=0), dict(tasks=("guess",)), dict(stages=3),
    ):  # fmt: skip
        with pytest.raises(StudyError, match=r"^[A-Z][^\n]+\.$"):
            make_study(**changes)
    with pytest.raises(StudyError):
        create_study("x", [], None, "Effusion", StudyPlan(("good",)))


@pytest.mark.parametrize("tasks", [("similarity",), ("ranking",), ("choice",), ("choice", "similarity", "ranking")])
@pytest.mark.parametrize("stages", [1, 2])
def test_no_study_asks_more_answers_than_its_bound(make_study, tasks, stages):
    plan = StudyPlan(tasks=tasks, stages=stages)
    study = make_study(tasks=tasks, stages=stages)
    most = bound_answers(plan, len(study.queries), 2)
    assert 0.6 * most < len(study.steps("reader-a")) <= most
    alone = make_study(tasks=tasks, stages=stages, methods=("good",))  # one method: nothing is found twice
    assert len(alone.steps("reader-a")) == bound_answers(plan, len(alone.queries), 1)


def test_each_answer_is_found_again_and_a_hidden_repeat_does_not_show_the_first(make_study, tmp_path, open_ratings):
    study = make_study(stages=1, tasks=("similarity", "ranking", "choice"))
    session = ReadingSession(open_ratings(tmp_path / "r.db"), study, "reader-a")
    steps = study.steps("reader-a")
    again = next(step for step in steps if step.repetition)
    first = next(step for step in steps if (step.query, step.cases) == (again.query, again.cases))
    session.answer(first.token, score=2)
    assert session.find_answer(first.token).score == 2 and session.find_answer(again.token) is None
    session.answer(again.token, score=4)
    session.answer(first.token, cannot_judge=True)
    assert session.find_answer(first.token).cannot_judge and session.find_answer(again.token).score == 4
    answer_all(session)
    assert all(session.find_answer(step.token) for step in steps)
    assert [session.find_answer(step.token).task for step in steps] == [step.task for step in steps]


def test_forward_goes_through_what_is_answered_and_no_farther(make_study, tmp_path, open_ratings):
    session = ReadingSession(open_ratings(tmp_path / "r.db"), make_study(), "reader-a")
    answer_all(session, 2)
    first, second, third = (step.token for step in session.study.steps("reader-a")[:3])
    assert session.following_item(first).token == second
    assert session.following_item(second) is None and session.next_item().token == third
    answer_all(session)
    assert session.following_item(session.previous_item(None).token) is None
