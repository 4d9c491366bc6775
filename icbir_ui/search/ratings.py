"""Ratings given on the search and compare pages: stored at the click, marked as not blinded."""

from __future__ import annotations

from icbir_core.audit import Action, Subject
from icbir_core.study.rating import SEARCH, SIMILARITY_SCALE, Rating
from icbir_core.study.store import RatingsStore
from icbir_core.types import Ranking
from icbir_ui import access, state
from icbir_ui.films import Film

SHORT_SCALE = {score: words.split(":")[0].capitalize() for score, words in SIMILARITY_SCALE.items()}


def store_rating(store: RatingsStore, film: Film, ranking: Ranking, case_id: str, score: int, mapped: bool) -> Rating:
    """Store one click and return the rating. mapped : whether a heat map lay on the query or on this case when she
    clicked. Raises `StudyError`."""
    access.record(Action.RATED, access.name_film(film), Subject("case", case_id), score=score)
    place = next((hit.rank for hit in ranking.hits if hit.case.case_id == case_id), None)
    return store.add(
        Rating(
            study=SEARCH,
            session=state.get_window(),
            reader=state.get_reader(),
            query=film.rated_as,
            case_id=case_id,
            score=score,
            blinded=False,
            stage=2 if mapped else 1,
            position=place,
            method=ranking.method,
            ranking={
                "target": ranking.target,
                "metric": ranking.metric,
                "eligible": ranking.eligible,
                "cases": [hit.case.case_id for hit in ranking.hits],
                **dict(ranking.settings),
            },
            versions=dict(ranking.versions),
        )
    )


def find_ratings(store: RatingsStore, film: Film) -> dict[str, int]:
    """This reader's last score of each case for a film, from the search and compare pages."""
    own = store.latest(study=SEARCH, reader=state.get_reader(), query=film.rated_as)
    given = sorted(own, key=lambda one: one.recorded_at)
    return {one.case_id: one.score for one in given if one.score and one.case_id}
