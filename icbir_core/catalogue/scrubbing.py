"""Names, dates and numbers out of the text of a report: by rules, which find much and cannot find all.

The rules err to one side: a word that begins with a capital letter stays only where it is known to be no name.
"""

from __future__ import annotations

import re

from icbir_core.findings import KNOWN_FINDINGS

NAME, DATE, NUMBER, ADDRESS = "[name]", "[date]", "[number]", "[address]"
_MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz|apr(?:il)?|may|mai|june?|juni?|july?|juli?|aug(?:ust)?|"
    r"sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_RULES = (
    (re.compile(r"\b(?:https?://|www\.)\S+|\S+@\S+\.\S+", re.I), ADDRESS),
    (re.compile(rf"\b\d{{1,2}}(?:st|nd|rd|th)?\.?\s*{_MONTH}\b\.?,?(?:\s*\d{{2,4}})?", re.I), DATE),
    (re.compile(rf"\b{_MONTH}\.?\s+\d{{1,2}}(?:st|nd|rd|th)?,?(?:\s+\d{{2,4}})?\b", re.I), DATE),
    (re.compile(rf"\b{_MONTH}\.?\s+\d{{4}}\b", re.I), DATE),
    (re.compile(r"\b\d{1,4}\s?[-./]\s?\d{1,2}\s?[-./]\s?\d{1,4}\b"), DATE),
    (re.compile(r"\S*\d\S*"), NUMBER),  # also what a number is part of, such as A12-345 or 14:30
)
_TITLED = re.compile(
    r"\b(mr|mrs|ms|miss|dr|doctor|prof|professor|herr|frau|sr|sra|mme|patient|name|named|pat|signed|by|attending|"
    r"physician|radiologist|referrer)\b([.:,]?\s+)((?:(?!is\b|was\b|has\b|had\b|with\b|in\b|on\b|the\b|and\b|for\b)"
    r"[^\W\d_][\w'’-]*[ ,^]*){1,3})",
    re.I,
)
_NAMES_AFTER = frozenset({"patient", "by", "physician", "radiologist", "attending", "signed", "referrer", "pat"})
"""Here only words with a capital letter are names: "by the", "patient rotated"."""
_WORD = re.compile(r"[^\W\d_](?:[\w'’]|[-^](?=\w))*")
_KNOWN = frozenset(
    re.findall(
        r"[a-z]+",
        """
        a an the no not there is are was were has have been be in on of at to from with without and or but as by for
        this that these those it its chest film radiograph radiographs image view views pa ap lateral frontal
        portable supine erect upright comparison compared prior previous study exam examination technique indication
        history clinical finding findings impression report conclusion recommendation mild moderate severe small
        large new old stable unchanged increased decreased interval left right both bilateral upper lower middle mid
        lobe lobes zone zones lung lungs heart cardiac mediastinum mediastinal hilar hilum pleural pleura diaphragm
        costophrenic angle angles rib ribs bone bones bony osseous soft tissue tissues normal abnormal clear
        enlarged enlargement opacity opacities consolidation effusion effusions pneumothorax edema oedema
        atelectasis pneumonia nodule nodules mass masses cardiomegaly emphysema fibrosis infiltrate infiltrates
        congestion vascular catheter tube line lines pacemaker tip carina fracture fractures degenerative changes
        spine aorta aortic calcified calcification since unremarkable possible probable likely suspected evidence
        consistent suggest suggests suggesting please follow up further ct mri recommended otherwise overall again
        seen shown shows dated at second third first patient acute chronic mrs mr dr status post after before during
        within limits size silhouette contour contours volume volumes low high icu
        """,
    )
) | {word for name in KNOWN_FINDINGS for word in name.casefold().split()}


def scrub_text(text: str | None) -> str | None:
    """`text` with names, dates, numbers and addresses replaced by a word in brackets; None for None."""
    if text is None:
        return None
    for pattern, word in _RULES:
        text = pattern.sub(word, text)
    text = _TITLED.sub(_replace_titled, text)
    return re.sub(rf"{re.escape(NAME)}(?:[\s,^]+{re.escape(NAME)})+", NAME, _WORD.sub(_replace_word, text))


def _replace_titled(found: re.Match[str]) -> str:
    title, between, rest = found[1], found[2], found[3]
    if title.casefold() in _NAMES_AFTER and not rest[:1].isupper():
        return found[0]
    return f"{title}{between}{NAME}{' ' if rest[-1:] in ' ,^' else ''}"


def _replace_word(found: re.Match[str]) -> str:
    word, text, start = found[0], found.string, found.start()
    if text[start - 1 : start] == "[" or not word[0].isupper():
        return word
    parts = re.findall(r"[^\W\d_]+", word.casefold())
    return word if all(part in _KNOWN for part in parts) else NAME
