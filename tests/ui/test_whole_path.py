"""One reader's path over the pages: upload, results, refine, rate, and the results of a study."""

from __future__ import annotations

from icbir_core.radiograph.writing import encode_lossless
from icbir_core.study.creating import open_store
from icbir_core.study.rating import SEARCH
from tests.helpers import fakes


def test_upload_results_refine_rate_results(workspace, open_page):
    search = open_page("search")
    search.app.file_uploader[0].set_value(
        ("IM0001", encode_lossless(fakes.make_radiograph(3)), "application/octet-stream")
    )
    found = search.run().case_ids
    assert found[0] == "case_003"

    search.decide("region", 1, pane="query", box=[20, 20, 60, 60])
    refined = search.case_ids
    assert refined != found
    search.decide("rated", 2, pane=refined[0], rating=5)
    (rated,) = open_store(workspace).history(study=SEARCH)
    assert (rated.case_id, rated.score, rated.blinded) == (refined[0], 5, False)

    study = fakes.make_study(workspace)
    rate = open_page("rate")
    for _ in study.steps("tester"):
        rate.press("4 · ")
    assert "items are answered" in rate.app.success[0].value

    results = open_page("results")
    assert "1 case rated on the search page" in results.text()
    assert results.app.table and "unblind you" not in results.text()
