"""From a click in the PACS to the ranking in Chromium, beside an upload of the same film and the retriever alone.

python benchmarks/pacs.py WORKSPACE [--films 12] [--size 2048]

A real Orthanc on this machine holds so many patients' films, each with a lateral and a prior, in six transfer syntaxes.
For each frontal film, in turns and on one warm server: *link*, the address of a PACS entered in a new window; *open*,
the button in the list of studies; *upload*, the same film dropped on the first page that stands; *visit*, that page
entered in a new window until it takes a film. All but the last end when the film, its map and eight cases are painted;
*ranking*: when the cases of this film stand with their captions. With a study the lateral and the prior come meanwhile.
*Engine*: the questions to the archive and the fetch of the one film, then ranking and map by the `Retriever` in this
process. No film is searched twice by one server: each way has a twin of it, of which one pixel in a corner is one level
brighter or darker.
"""

from __future__ import annotations

import io
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from first_page import read_arguments, start, stop
from first_result import CASES, open_retriever
from playwright.sync_api import Browser, FilePayload, Page, sync_playwright
from processor import describe_processor
from pydicom.uid import JPEGBaseline8Bit, JPEGLosslessSV1, generate_uid

from icbir_core.evaluation.statistics import bootstrap_statistic
from icbir_core.pacs.archive import Archive
from icbir_core.pacs.opening import StudyRequest as Request
from icbir_core.pacs.opening import find_study, read_archive_film
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.saliency.methods import FIRST_MAP
from icbir_core.settings import PacsSettings, SearchSettings
from scripts.archive_films import ArchiveFilm, encode_file, make_archive_films
from scripts.chromium import ARGUMENTS, CHROMIUM, find_port, remember_reader
from scripts.hospital import name_archive
from scripts.orthanc import NO_ORTHANC, Orthanc, has_orthanc, run_orthanc

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever

WAYS = ("link", "open", "upload", "engine")
PATIENCE = 120_000
RANKED = """([hash, least]) => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].some(host => {
  const v = host.shadowRoot?.querySelector('.viewer')?.viewer;
  return v?.data?.room && v.panes[0]?.film.hash === hash && v.panes.filter(p => p.openable).length >= least; })"""
PAINTED = """([hash, least]) => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].some(host => {
  const v = host.shadowRoot?.querySelector('.viewer')?.viewer;
  return v?.data?.room && v.panes[0]?.film.hash === hash && v.panes.filter(p => p.openable).length >= least
    && !v.pending && v.panes.every(p => p.pixels && p.rect && (p.steps || !p.map)) && v.panes[0].steps; })"""


def make_twins(films: list[ArchiveFilm], way: int) -> list[ArchiveFilm]:
    """Prior, frontal and lateral of a patient of its own, whose pictures differ from `films` in one pixel."""
    twins: list[ArchiveFilm] = []
    names: dict[str, str] = {}
    for film in films:
        dataset = pydicom.dcmread(io.BytesIO(film.data))
        pixels = dataset.pixel_array.copy()
        pixels[-1, way] ^= 1
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            old = str(getattr(dataset, keyword))
            setattr(dataset, keyword, names.setdefault(old, generate_uid(entropy_srcs=[old, str(way)])))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientID = f"{film.patient}-{way}"
        dataset.PatientName = f"Way{WAYS[way]}^{film.patient[-3:]}"
        dataset.PhotometricInterpretation = "MONOCHROME2"
        # A lossy film may forget one pixel.
        data = encode_file(dataset, JPEGLosslessSV1 if film.syntax == JPEGBaseline8Bit else film.syntax)
        uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
        study, series, instance = map(str, uids)
        made = replace(film, patient=str(dataset.PatientID), study=study, series=series, instance=instance, data=data)
        twins.append(made)
    return twins


def open_window(browser: Browser, address: str) -> Page:
    """A new reader's window with an empty cache, in which the notice is accepted."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    remember_reader(context, address, "R1")
    return context.new_page()


def measure(page: Page, film: ArchiveFilm, begin: Callable[[], object]) -> tuple[float, float]:
    """Seconds from `begin` until the ranking stands, and until film, map and cases are painted."""
    hash_of_it = read_radiograph(film.data).pixel_sha256
    before = time.perf_counter()
    begin()
    page.wait_for_function(RANKED, arg=[hash_of_it, CASES], timeout=PATIENCE, polling=10)
    ranked = time.perf_counter() - before
    page.wait_for_function(PAINTED, arg=[hash_of_it, CASES], timeout=PATIENCE, polling=10)
    spent = time.perf_counter() - before
    page.context.close()
    return ranked, spent


def follow_link(browser: Browser, address: str, film: ArchiveFilm) -> tuple[float, float]:
    page = open_window(browser, address)
    return measure(page, film, lambda: page.goto(f"{address}/search?StudyInstanceUIDs={film.study}"))


def open_from_list(browser: Browser, address: str, film: ArchiveFilm) -> tuple[float, float]:
    page = open_window(browser, address)
    page.goto(f"{address}/pacs")
    page.get_by_role("tab", name="Find a study").click(timeout=PATIENCE)
    page.get_by_role("textbox", name="Patient number").fill(film.patient)
    page.get_by_role("button", name="Find", exact=True).click()
    button = page.locator(".st-key-open_found_0 button")  # "Open" is also the name of the arrow beside the kinds
    button.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    return measure(page, film, button.click)


def upload(browser: Browser, address: str, film: ArchiveFilm) -> tuple[float, float, float]:
    """Seconds of the upload to the ranking and to the last pane, and of the way to the page that takes it."""
    page = open_window(browser, address)
    before = time.perf_counter()
    page.goto(address)
    page.locator("input[type=file]").first.wait_for(state="attached", timeout=PATIENCE)
    page.get_by_text("Drop a film here").wait_for(timeout=PATIENCE)
    visit = time.perf_counter() - before
    page.wait_for_timeout(1000)
    file: FilePayload = {"name": "IM1", "mimeType": "application/dicom", "buffer": film.data}
    return *measure(page, film, lambda: page.locator("input[type=file]").first.set_input_files(file)), visit


def ask_engine(retriever: Retriever, orthanc: Orthanc, film: ArchiveFilm) -> tuple[float, float]:
    """Seconds of the fetch, and of reading, ranking and mapping."""
    before = time.perf_counter()
    archive = Archive(PacsSettings(orthanc.dicomweb, user=orthanc.user, password=orthanc.password))
    study = find_study(archive, Request(film.study))
    reference = next(one for one in archive.list_films(study) if one.instance == film.instance)
    data = archive.fetch_film(reference)
    fetched = time.perf_counter()
    query = read_archive_film(retriever.workspace, reference, data).query
    ranking = retriever.search(query, SearchSettings(top_k=CASES, target=retriever.default_target))
    retriever.map_of(query, FIRST_MAP, ranking.target)
    archive.close()
    return fetched - before, time.perf_counter() - fetched


def describe(name: str, ratios: np.ndarray) -> str:
    """The median of the ratios with its 95 % interval over the films, and the extremes."""
    found = bootstrap_statistic(lambda drawn: float(np.median(ratios[drawn])), np.arange(len(ratios)), 2000)
    between = f"[{found.low:.2f}, {found.high:.2f}]"
    return f"  {name}: median {found.value:.2f} {between} ({ratios.min():.2f} to {ratios.max():.2f})"


def main() -> None:
    given = read_arguments(__doc__, films=12, size=2048)
    if not has_orthanc():
        sys.exit(NO_ORTHANC)
    print(describe_processor())
    films = make_archive_films(given.films + 1, given.size)
    studies = [films[at : at + 3] for at in range(0, len(films), 3)]
    twins = [[make_twins(study, way) for way in range(len(WAYS))] for study in studies]
    retriever, spent = open_retriever(given.workspace), []
    with tempfile.TemporaryDirectory() as folder, run_orthanc(Path(folder)) as orthanc, sync_playwright() as driver:
        orthanc.store(film.data for study in twins for way in study for film in way)
        port = find_port()
        os.environ.update(name_archive(orthanc, sends=False))
        process = start([sys.executable, "-m", "icbir_ui.serving", str(port)], given.workspace, port)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        address = f"http://127.0.0.1:{port}"
        try:
            for number, study in enumerate(twins):  # the first warms both up and is not counted
                frontal = {way: study[place][1] for place, way in enumerate(WAYS)}
                row: dict[str, float] = {}
                for way in random.Random(number).sample(WAYS, len(WAYS)):
                    if way == "link":
                        row["link, ranking"], row[way] = follow_link(browser, address, frontal[way])
                    elif way == "open":
                        row["open, ranking"], row[way] = open_from_list(browser, address, frontal[way])
                    elif way == "upload":
                        row["upload, ranking"], row[way], row["visit"] = upload(browser, address, frontal[way])
                    else:
                        row["fetch"], row["engine"] = ask_engine(retriever, orthanc, frontal[way])
                print("  " + ", ".join(f"{name} {value:.2f} s" for name, value in sorted(row.items())), flush=True)
                spent += [row] if number else []
        finally:
            stop(process)
            browser.close()
    held = {name: np.array([row[name] for row in spent]) for name in spent[0]}
    print(f"{len(spent)} films of {given.size} × {given.size}, load average {os.getloadavg()[0]:.1f}; medians in s: "
          + ", ".join(f"{name} {np.median(values):.2f}" for name, values in sorted(held.items())))  # fmt: skip
    print("Ratios film by film:\n" + "\n".join((
        describe("open / upload, to the ranking", held["open, ranking"] / held["upload, ranking"]),
        describe("open, to the ranking / (engine + fetch)", held["open, ranking"] / (held["engine"] + held["fetch"])),
        describe("open / upload", held["open"] / held["upload"]),
        describe("link / (visit + upload)", held["link"] / (held["visit"] + held["upload"])),
        describe("open / (engine + fetch)", held["open"] / (held["engine"] + held["fetch"])),
        describe("upload / engine", held["upload"] / held["engine"]),
    )))  # fmt: skip


if __name__ == "__main__":
    main()
