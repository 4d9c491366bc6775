"""Roles, and the file in which an operator sets up a server."""

from __future__ import annotations

import re

import pytest

from icbir_core.access import Person, Right, Role, find_role
from icbir_core.errors import AccessRefused, ServerSettingsError
from icbir_core.server_settings import check_address, read_server_settings

OIDC = """
[openid_connect]
redirect_uri = "https://films.example/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "icbir"
client_secret = "s"
server_metadata_url = "https://sign-in.example/.well-known/openid-configuration"
"""
ROLES = """
[roles]
reader = ["*"]
operator = ["ada@hospital.example", "group:Admins"]
"""
PROXY = '[proxy]\nheader = "X-Remote-User"\nproxies = ["10.0.0.5"]\n'


@pytest.fixture
def write(tmp_path):
    def write_settings(text: str, mode: int = 0o600):
        path = tmp_path / "server.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write_settings


@pytest.mark.parametrize(
    ("names", "groups", "role"),
    [
        (["ada@hospital.example"], [], Role.OPERATOR),
        (["ADA@Hospital.Example"], [], Role.OPERATOR),
        (["grace@hospital.example"], ["admins"], Role.OPERATOR),
        (["grace@hospital.example"], [], Role.STUDY_LEAD),
        (["grace@hospital.example.evil"], [], Role.READER),
        (["mallory@evil.example"], [], Role.READER),
        ([], [], Role.READER),
        (["group:admins"], [], Role.READER),
        (["*"], ["*"], Role.READER),
        (["@hospital.example"], [], Role.READER),
    ],
)
def test_the_role_with_the_most_rights_counts(names, groups, role):
    roles = {Role.READER: ["*"], Role.STUDY_LEAD: ["@hospital.example"]}
    roles[Role.OPERATOR] = ["ada@hospital.example", "group:Admins"]
    assert find_role(roles, names, groups) is role


def test_who_is_named_nowhere_has_no_role():
    assert find_role({Role.READER: ["ada"]}, ["grace"]) is None
    assert find_role({}, ["ada"]) is None


OF_READERS = (Right.SEARCH_ARCHIVE, Right.OPEN_STUDY, Right.EXPORT_DICOM, Right.SEND)


@pytest.mark.parametrize("right", Right)
def test_a_reader_has_the_rights_at_the_archive_and_one_without_a_role_none(right):
    for role in (Role.READER, None):
        if role and right in OF_READERS:
            Person("p", role, signed_in=True).require(right)
            continue
        with pytest.raises(AccessRefused, match=re.escape(right.value)):
            Person("p", role, signed_in=True).require(right)
    assert Person("p", Role.STUDY_LEAD, signed_in=True).may(right) is (right is not Right.CANCEL_JOBS)
    Person("p", Role.OPERATOR, signed_in=True).require(right)


def test_the_operator_decides_which_role_has_a_right(write):
    settings = read_server_settings(write(OIDC + ROLES + '[rights]\nsend = "operator"\nadd = "reader"\n'))
    reader, lead = (Person("p", role, True, settings.rights) for role in (Role.READER, Role.STUDY_LEAD))
    assert not lead.may(Right.SEND) and reader.may(Right.ADD) and reader.may(Right.OPEN_STUDY)
    assert Person("p", Role.OPERATOR, True, settings.rights).may(Right.SEND)
    assert not Person("p", None, True, settings.rights).may(Right.ADD)


def test_a_server_without_a_file_is_for_one_person(monkeypatch):
    monkeypatch.delenv("ICBIR_SERVER", raising=False)
    settings = read_server_settings()
    assert not settings.asks_to_sign_in and settings.folders is None
    check_address("127.0.0.1", settings, without_sign_in=False)
    check_address("::1", settings, without_sign_in=False)
    for host in ("0.0.0.0", "::", "10.0.0.7", "films.example", "127.0.0.1.evil.example"):
        with pytest.raises(ServerSettingsError, match="--without-sign-in"):
            check_address(host, settings, without_sign_in=False)
        check_address(host, settings, without_sign_in=True)


def test_sign_in_lets_the_server_listen_and_allows_no_folder_until_one_is_named(write, tmp_path):
    settings = read_server_settings(write(OIDC + ROLES))
    check_address("0.0.0.0", settings, without_sign_in=False)
    with pytest.raises(AccessRefused):
        settings.check_folder(tmp_path)
    named = read_server_settings(write(OIDC + ROLES + f'[films]\nfolders = ["{tmp_path}/films"]\n'))
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "link").symlink_to(tmp_path)
    named.check_folder(tmp_path / "films" / "a")
    for path in (tmp_path, tmp_path / "films2", tmp_path / "films" / ".." / "x", tmp_path / "films" / "link" / "x"):
        with pytest.raises(AccessRefused, match="no folder that the operator"):
            named.check_folder(path)


def test_limits_and_monitoring_need_no_sign_in(write):
    settings = read_server_settings(
        write('[queue]\nwait_seconds = 30\n[monitoring]\nmetrics = ["::1"]\nlog = "json"\n')
    )
    assert settings.queue.wait_seconds == 30 and settings.queue.questions_a_minute == 600
    assert settings.monitoring.metrics == ("::1",) and settings.monitoring.log == "json"
    assert not settings.asks_to_sign_in and settings.folders is None


def test_secrets_may_stand_in_files_of_their_own(write, tmp_path):
    (tmp_path / "cookie").write_text("a" * 40 + "\n")
    text = OIDC.replace('cookie_secret = "0123456789abcdef0123456789abcdef"', 'cookie_secret_file = "cookie"')
    assert read_server_settings(write(text + ROLES)).oidc.cookie_secret == "a" * 40


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (OIDC, "nobody a role"),
        (OIDC + "[roles]\nreader = []\n", "nobody a role"),
        (OIDC + PROXY + ROLES, "keep one"),
        (OIDC.replace("client_id", "client_name") + ROLES, "client_name"),
        (OIDC.replace('client_id = "icbir"\n', "") + ROLES, "lacks 'client_id'"),
        (OIDC.replace("0123456789abcdef0123456789abcdef", "short") + ROLES, "32 letters"),
        (OIDC.replace("/oauth2callback", "") + ROLES, "oauth2callback"),
        (OIDC.replace("https://sign-in", "http://sign-in") + ROLES, "https"),
        (OIDC + '[roles]\nadministrator = ["a"]\n', "administrator"),
        (OIDC + '[roles]\nreader = "a"\n', "list of names"),
        (PROXY.replace("10.0.0.5", "proxy.example") + ROLES, "addresses"),
        (PROXY.replace("X-Remote-User", "X Remote") + ROLES, "names of headers"),
        (PROXY.replace('["10.0.0.5"]', "[]") + ROLES, "no address"),
        (PROXY.replace('["10.0.0.5"]', "[5]") + ROLES, "not of its kind"),
        ('[rights]\nsend = "nurse"\n', "must be one of: reader"),
        ('[rights]\nfly = "reader"\n', "has no 'fly'"),
        ("[session]\nidle_minutes = 0\n", "not of its kind"),
        ("[session]\nhours = true\n", "not of its kind"),
        ("[queue]\nwait_seconds = 0\n", "not of its kind"),
        ("[queue]\nquestions_a_minute = 1.5\n", "not of its kind"),
        ("[monitoring]\nmetrics = true\n", "not of its kind"),
        ('[monitoring]\nmetrics = ["prometheus.example"]\n', "addresses"),
        ('[monitoring]\nlog = "xml"\n', "one of plain, json"),
        ('[films]\nfolders = ["films"]\n', "absolute"),
        ("roles = 3\n", "must be a table"),
        ("[sign-in]\n", "sign-in"),
        ("[roles", "no TOML"),
    ],
)
def test_a_file_that_is_wrong_is_one_sentence(write, text, word):
    with pytest.raises(ServerSettingsError, match=word) as caught:
        read_server_settings(write(text))
    assert "\n" not in str(caught.value) and "abcdef" not in str(caught.value)


def test_a_file_that_others_can_read_or_that_is_not_there_is_refused(write, tmp_path):
    with pytest.raises(ServerSettingsError, match="chmod"):
        read_server_settings(write(OIDC + ROLES, mode=0o644))
    with pytest.raises(ServerSettingsError, match="cannot be read"):
        read_server_settings(tmp_path / "missing.toml")
