"""The whole path on real films and trained networks: a workspace from the real films, walked in Chromium."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.browser.conftest import ROOT, start_server
from tests.browser.test_application import accept, drag, open_drawer, order, wait_for_panes
from tests.browser.test_films_of_a_session import FILM_OF, wait_for_another

pytestmark = pytest.mark.browser
TIME = 180_000


def run_command(*words: str) -> None:
    """A command of the program, as an operator types it."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-m", "icbir_core", *words], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


@pytest.fixture(scope="module")
def real(chromium, nih_directory, tmp_path_factory):
    """The application over 60 real films and small networks trained on them: (address, films that it does not hold)."""
    folder = tmp_path_factory.mktemp("real") / "workspace"
    labels = nih_directory / "Data_Entry_2017_v2020.csv"
    images = nih_directory / "images"
    run_command("ingest", str(folder), "--layout", "nih", "--images", str(images), "--labels", str(labels),
                "--limit", "60")  # fmt: skip
    run_command("train", str(folder), "--target", "Effusion", "--network", "densenet_small", "--weights", "none",
                "--epochs", "1", "--size", "64")  # fmt: skip
    run_command("index", str(folder))
    process, address = start_server(folder)
    yield address, sorted(images.glob("*.png"))[-12:]
    process.terminate()
    process.wait(20)


def settle(page) -> None:
    """Until the page has run through."""
    page.wait_for_timeout(900)
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')", timeout=TIME)


def choose(page, label: str, option: str) -> None:
    open_drawer(page).get_by_role("combobox", name=label).first.click()
    page.get_by_role("option", name=option).first.click()
    page.keyboard.press("Escape")
    settle(page)


def open_page(page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    settle(page)


def test_a_fresh_server_shows_its_own_menu_on_whatever_page_comes_first(page, real):
    page.goto(f"{real[0]}/rate")
    page.get_by_role("button", name="I understand").wait_for(timeout=TIME)
    page.get_by_role("link", name="Catalogue", exact=True).wait_for(timeout=TIME)
    assert page.get_by_test_id("stSidebarNav").count() == 0


def test_a_real_film_from_upload_to_exports(page, real, tmp_path):
    address, films = real
    page.set_default_timeout(TIME)
    accept(page, address)
    page.locator("input[type=file]").first.set_input_files(str(films[0]))
    wait_for_panes(page, 9)
    first = order(page)
    assert len(set(first)) == 8
    rankings = set()
    for method in (
        "Network features (CNN)",
        "Structural similarity",
        "Heat map (IG-CBIR)",
        "Network features, centred",
    ):
        choose(page, "Search by", method)
        wait_for_panes(page, 9)
        rankings.add(tuple(order(page)))
    assert len(rankings) == 4 and order(page) == first, "four methods, four rankings"
    open_drawer(page).get_by_role("combobox", name="Heat map").first.click()
    titles = page.get_by_role("option").all_inner_texts()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert len(titles) == 8 and titles[-1] == "None"
    for title in titles:
        choose(page, "Heat map", title)
        wait_for_panes(page, 9)
    choose(page, "Heat map", titles[0])
    open_drawer(page).get_by_role("radio", name="PA").click()
    settle(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Search settings · ").wait_for()
    wait_for_panes(page, 9)
    assert page.get_by_text("of 60 cases eligible").count() == 1
    page.locator(f'[data-pane="{order(page)[1]}"] [data-mark=more]').click()
    page.get_by_role("button", name="Search again: 1 more like").click()
    settle(page)
    wait_for_panes(page, 9)
    page.locator("[data-act=region]").click()
    drag(page, "[data-pane=query] .film", 90, 80, (0.2, 0.5))
    page.get_by_text("region").first.wait_for()
    settle(page)
    wait_for_panes(page, 9)
    page.get_by_role("button", name="Export").click()
    settle(page)  # the click tells the page the view, and it runs once more
    found = {}
    for label in ("Report (HTML)", "Report (PDF)", "Ranking (CSV)", "Ranking (JSON)"):
        with page.expect_download(timeout=TIME) as held:
            page.get_by_role("button", name=label).click()
        held.value.save_as(tmp_path / label)
        found[label] = (tmp_path / label).read_bytes()
    page.keyboard.press("Escape")
    with page.expect_download(timeout=TIME) as held:
        page.locator("[data-act=save]").click()
    held.value.save_as(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert found["Report (PDF)"].startswith(b"%PDF") and found["Ranking (CSV)"].count(b"\n") == 10
    told = json.loads(found["Ranking (JSON)"])
    assert told["settings"]["filters"] == "PA" and len(told["settings"]["refinement"]) == 2
    text = found["Report (HTML)"].decode()
    assert text.count("data:image/png;base64,") == 9 + 1 and "not for diagnosis" in text
    assert all(step in text for step in told["settings"]["refinement"])


def test_a_dicom_and_a_zip_with_a_broken_film(page, real, dicom_directory):
    address, films = real
    page.set_default_timeout(TIME)
    accept(page, address)
    page.locator("input[type=file]").first.set_input_files(str(dicom_directory / "RG1_J2KI.dcm"))
    wait_for_panes(page, 9)
    assert "DICOM" in page.locator("[data-pane=query] figcaption").inner_text()
    former = page.evaluate(FILM_OF)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("broken.png", films[1].read_bytes()[:3000])
        for film in films[2:4]:
            archive.write(film, f"films/{film.name}")
    page.get_by_role("button", name="Film", exact=True).click()
    page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(
        {"name": "films.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}
    )
    page.get_by_text("broken.png:").first.wait_for()
    wait_for_another(page, former)  # the pane names no file, so the picture tells
    assert not page.get_by_test_id("stPopoverBody").is_visible(), "it does not cover the film that it has brought"
    page.get_by_role("button", name="Film", exact=True).click()
    page.get_by_test_id("stPopoverBody").get_by_role("combobox", name=re.compile("Films of this session")).wait_for()


def test_compare_steps_by_arrows_after_a_choice_by_mouse(page, real):
    address, films = real
    page.set_default_timeout(TIME)
    accept(page, address)
    page.locator("input[type=file]").first.set_input_files(str(films[4]))
    wait_for_panes(page, 9)
    page.locator("[data-open]").first.click()
    page.wait_for_url("**/compare**")
    for name in ("Similarity", "None", "Finding"):
        page.get_by_role("radio", name=name).click()
        settle(page)
        wait_for_panes(page, 2)
    page.keyboard.press("ArrowRight")
    page.get_by_text("Case 2 of 8").wait_for()


def count_cases(page, number):
    """Wait until the list of the page Catalogue says so many cases."""
    page.get_by_role("tab", name="List").click()
    page.get_by_text(f"{number} cases").first.wait_for()


def test_catalogue_takes_a_folder_and_removes_and_restores_a_case(page, real, tmp_path):
    address, films = real
    page.set_default_timeout(TIME)
    accept(page, address)
    folder = tmp_path / "new"
    folder.mkdir()
    for film in films[5:8]:
        shutil.copy(film, folder)
    (folder / "broken.png").write_bytes(b"\x89PNG no film")
    open_page(page, "Catalogue")
    page.get_by_text("60 cases").first.wait_for()
    page.get_by_role("tab", name="Add films").click()
    page.get_by_role("textbox", name="Folder of films").fill(str(folder))
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("3 added, 0 there before.").wait_for()
    count_cases(page, 63)
    page.get_by_role("tab", name="Remove or restore").click()
    name = page.get_by_role("textbox", name="Case to remove")
    name.fill(films[5].stem)
    name.press("Enter")
    page.get_by_role("button", name="Remove", exact=True).click()
    count_cases(page, 62)
    page.get_by_role("tab", name="Remove or restore").click()
    page.get_by_role("button", name="Restore", exact=True).click()
    count_cases(page, 63)
    open_page(page, "About")
    page.get_by_role("tab", name="Model cards").click()
    page.get_by_text("densenet_small").first.wait_for()
