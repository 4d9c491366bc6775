"""An archive that refuses, lies, stalls or never ends: one named error each, without a word that names anybody."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from icbir_core.errors import PacsError, PacsMismatch, PacsNotFound, PacsRefused, PacsStopped, PacsUnreachable
from icbir_core.pacs.archive import Archive, check_film, extract_part
from icbir_core.pacs.studies import FilmReference, Study, StudyQuery
from icbir_core.radiograph.reading import read_film
from icbir_core.settings import PacsSettings, ReadLimits, read_pacs_settings
from scripts.archive_films import make_archive_films
from tests.helpers.fake_archive import Answer, list_studies, run_fake_archive, wrap_film

SECRET = "a password that nobody may read"


@pytest.fixture(scope="module")
def films():
    return make_archive_films(patients=2, size=64)


def refer(film) -> FilmReference:
    return FilmReference(film.study, film.series, film.instance, film.patient)


def ask(answer: Answer, call, **more):
    """What call(archive) gives where the server says `answer` to everything."""
    with run_fake_archive(lambda path: answer) as fake:
        archive = Archive(PacsSettings(fake.address, user="reader", password=SECRET, **more))
        try:
            return call(archive)
        finally:
            archive.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(status=401), PacsRefused),
        (Answer(status=403), PacsRefused),
        (Answer(status=404), PacsNotFound),
        (Answer(status=500), PacsUnreachable),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"}), PacsMismatch),
        (Answer(b"<html>a page</html>", "text/html"), PacsMismatch),
        (Answer(b'"text"'), PacsMismatch),
        (Answer(b"[]", announced=900), PacsUnreachable),
        (Answer(b"[]", announced=1 << 40), PacsMismatch),
    ],
    ids=["401", "403", "404", "500", "moved", "page", "text", "cut", "endless"],
)
def test_each_fault_of_an_answer_has_a_name(answer, kind, films):
    reference = refer(films[0])
    for call in (
        lambda archive: archive.find_studies(StudyQuery(patient="P-SECRET")),
        lambda archive: archive.fetch_film(reference),
    ):
        with pytest.raises(kind) as caught:
            ask(answer, call)
        said = str(caught.value)
        assert "SECRET" not in said and reference.study not in said and SECRET not in said


def test_an_archive_that_falls_silent_is_given_up(films):
    with pytest.raises(PacsUnreachable, match="in time"):
        ask(Answer(b"[ ]", pause=60.0), lambda archive: archive.find_studies(StudyQuery()), seconds=0.3)


def test_nobody_at_the_address():
    archive = Archive(PacsSettings("http://127.0.0.1:9/dicom-web"))
    with pytest.raises(PacsUnreachable):
        archive.find_studies(StudyQuery())


@pytest.mark.parametrize(
    "address",
    ["pacs.example", "ftp://pacs.example/", "http://reader:word@pacs.example/", "http://a b/", "http://a/?b=c"],
)
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(PacsError) as caught:
        Archive(PacsSettings(address))
    assert "word" not in str(caught.value).replace("password", "")


def test_a_whole_film_comes_as_it_is(films):
    heard = []
    data = ask(
        wrap_film(films[0].data), lambda archive: archive.fetch_film(refer(films[0]), lambda *said: heard.append(said))
    )
    assert data == films[0].data
    check_film(refer(films[0]), read_film(data)[1])
    assert heard[-1][0] == heard[-1][1] > len(data)
    assert ask(Answer(films[0].data, "application/dicom"), lambda archive: archive.fetch_film(refer(films[0]))) == data


@pytest.mark.parametrize(
    "answer",
    [
        lambda films: wrap_film(films[0].data, films[1].data),
        lambda films: wrap_film(films[0].data, length=len(films[0].data) - 10),
        lambda films: wrap_film(films[0].data, length=len(films[0].data) + 10),
        lambda films: wrap_film(films[0].data, closed=False),
        lambda films: replace(wrap_film(films[0].data), announced=len(films[0].data) // 2),
        lambda films: wrap_film(),
        lambda films: Answer(films[0].data, "multipart/related"),
        lambda films: Answer(films[0].data, "image/jpeg"),
    ],
    ids=["two", "more", "fewer", "open", "announced", "none", "no line", "picture"],
)
def test_more_or_less_than_one_film_is_refused(answer, films):
    with pytest.raises(PacsMismatch):
        ask(answer(films), lambda archive: archive.fetch_film(refer(films[0])))


def test_another_film_than_the_one_asked_for_is_refused(films):
    asked = refer(films[0])
    for other in (films[1], films[3]):  # of the same patient, and of another
        with pytest.raises(PacsMismatch):
            check_film(asked, read_film(other.data)[1])
    with pytest.raises(PacsMismatch):
        check_film(replace(asked, patient="another"), read_film(films[0].data)[1])
    with pytest.raises(PacsMismatch):
        check_film(asked, None)


def test_a_film_larger_than_the_limit_is_not_taken(films):
    with pytest.raises(PacsMismatch, match="more than"):
        ask(
            wrap_film(bytes(1 << 20)),
            lambda archive: archive.fetch_film(refer(films[0]), limits=ReadLimits(max_bytes=1000)),
        )


def test_a_slow_film_tells_how_far_it_is_and_can_be_stopped(films):
    heard, stop = [], threading.Event()

    def hear(done, total, text):
        heard.append((done, total))
        if len(heard) == 3:
            stop.set()

    slow = replace(wrap_film(bytes(1 << 20)), pieces=40, pause=0.02)
    started = time.monotonic()
    with pytest.raises(PacsStopped):
        ask(slow, lambda archive: archive.fetch_film(refer(films[0]), hear, stop.is_set))
    assert len(heard) == 3 and 0 < heard[0][0] < heard[0][1]
    assert time.monotonic() - started < 0.02 * 40 * 20  # it did not wait for the rest


def test_a_film_that_drips_without_end_is_given_up(films):
    drip = replace(wrap_film(bytes(1 << 20)), pieces=1000, pause=0.05)
    with pytest.raises(PacsUnreachable, match="had not finished"):
        ask(drip, lambda archive: archive.fetch_film(refer(films[0])), transfer_seconds=0.3)


def test_an_archive_that_ignores_the_question_is_seen_through():
    listed = list_studies(
        {"0020000D": "1.2.3", "00100020": "P1", "00080061": "CR"},
        {"0020000D": "1.2.4", "00100020": "P2", "00080061": "CR"},
        {"0020000D": "not a uid", "00100020": "P1"},
        {"00100020": "P1"},
    )
    found = ask(Answer(listed), lambda archive: archive.find_studies(StudyQuery(patient="P1")))
    assert [study.uid for study in found] == ["1.2.3"]
    with pytest.raises(PacsMismatch):
        ask(Answer(listed), lambda archive: archive.get_study("1.2.9"))


def test_an_archive_that_knows_no_offset_ends_the_paging():
    with run_fake_archive(lambda path: Answer(list_studies({"0020000D": "1.2.3"}))) as fake:
        found = Archive(PacsSettings(fake.address)).find_studies(StudyQuery(modalities=("DX",)))
        assert len(found) == 1 and len(fake.asked) == 2


def test_more_studies_than_the_limit_are_not_collected():
    def page(path):
        offset = int(path.split("offset=")[1].split("&")[0])
        return Answer(list_studies(*({"0020000D": f"1.2.{number}"} for number in range(offset, offset + 100))))

    with run_fake_archive(page) as fake:
        found = Archive(PacsSettings(fake.address, studies=250)).find_studies(StudyQuery())
    assert len(found) == 251


@pytest.mark.parametrize("records", ["[1, null, []]", '[{"0020000D": 5}]', '[{"0020000D": {"Value": {}}}]', "{}"])
def test_records_that_are_none_are_passed_over(records):
    assert ask(Answer(records.encode()), lambda archive: archive.find_studies(StudyQuery())) == []


def test_credentials_go_to_the_archive_and_into_no_log(films, caplog):
    caplog.set_level(logging.DEBUG)
    for more, sent in (({"user": "reader", "password": SECRET}, "Basic "), ({"token": SECRET}, f"Bearer {SECRET}")):
        with run_fake_archive(lambda path: Answer(list_studies({"0020000D": "1.2.345"}))) as fake:
            settings = PacsSettings(fake.address, **more)
            archive = Archive(settings)
            archive.find_studies(StudyQuery(patient="P-SECRET"))
            archive.list_films(Study("1.2.345"))
            assert fake.asked[0][1]["Authorization"].startswith(sent)
            assert SECRET not in repr(settings)
    assert SECRET not in caplog.text and "1.2.345" not in caplog.text and "P-SECRET" not in caplog.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one PEM file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now, here = datetime.datetime.now(datetime.UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 4711, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "own.pem"
    forms = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(key.private_bytes(*forms) + made.public_bytes(Encoding.PEM))
    return path


def test_a_client_certificate_of_the_environment_opens_an_archive_that_asks_for_one(certificate, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.load_verify_locations(certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    with run_fake_archive(lambda path: Answer(list_studies({"0020000D": "1.2.345"})), tls) as fake:
        monkeypatch.setenv("ICBIR_DICOMWEB", fake.address)
        with pytest.raises(PacsRefused, match="No safe connection"):
            Archive(read_pacs_settings()).find_studies(StudyQuery())
        monkeypatch.setenv("ICBIR_DICOMWEB_AUTHORITY", str(certificate))
        with pytest.raises(PacsError):
            Archive(read_pacs_settings()).find_studies(StudyQuery())
        monkeypatch.setenv("ICBIR_DICOMWEB_CERTIFICATE", str(certificate))
        assert [one.uid for one in Archive(read_pacs_settings()).find_studies(StudyQuery())] == ["1.2.345"]
        monkeypatch.setenv("ICBIR_DICOMWEB_CERTIFICATE", str(certificate.with_name("gone.pem")))
        with pytest.raises(PacsError, match="certificate"):
            Archive(read_pacs_settings()).find_studies(StudyQuery())
    assert "1.2.345" not in caplog.text and "BEGIN" not in caplog.text


def test_a_film_of_no_known_kind_of_answer():
    with pytest.raises(PacsMismatch):
        extract_part("", b"")
