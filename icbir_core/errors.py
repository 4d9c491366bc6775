"""Every error that a caller may want to catch. Its text is one plain sentence: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterable


def make_printable(text: str) -> str:
    """`text` in one line, with a mark for every letter that cannot be shown: names of damaged files stand in it."""
    line = " ".join(text.split()) if "\n" in text or "\r" in text else text
    return line if line.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in line)


class IcbirError(Exception):
    """Base of all errors of this package; its text is one sentence fit for a reader.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> try:
    ...     icbir.open_retriever("no such folder")
    ... except icbir.IcbirError as error:
    ...     print("no such folder" in str(error))
    True
    """

    def __init__(self, *values: object):
        super().__init__(*(make_printable(one) if isinstance(one, str) else one for one in values))


class RadiographError(IcbirError):
    """The bytes are not a radiograph that can be read."""


class RadiographTooLarge(RadiographError):
    """The file or the decoded picture exceeds the configured limit."""


class MultiFrameError(RadiographError):
    """A DICOM object holds several frames where one film is expected."""


class UndecodableTransferSyntax(RadiographError):
    """No installed decoder reads this DICOM transfer syntax."""

    def __init__(self, uid: str, name: str, advice: str):
        self.uid = uid
        super().__init__(f"Nothing here decodes the DICOM's transfer syntax {uid} ({name}); {advice}")


class CatalogueError(IcbirError):
    """A data set or a catalogue does not match its layout."""


class FetchError(IcbirError):
    """A public data set cannot be downloaded, or is not what it was."""


class WorkspaceError(IcbirError):
    """The folder is not a workspace, or lacks what the command needs."""


class WorkspaceBusy(WorkspaceError):
    """Another process holds what is needed; nothing is damaged, and the same call may succeed in a moment."""


class DatabaseAway(WorkspaceBusy):
    """The database server does not answer; the same call may succeed later."""


class FilmsAway(WorkspaceBusy):
    """The place of the films, maps and embeddings does not answer; the same call may succeed later."""


class FilmLost(WorkspaceError):
    """A stored film, or a chunk of maps and embeddings, is missing, or is not the one that was stored."""


class ManifestMismatch(WorkspaceError):
    """An artefact was made from something else than what is there now."""


class DeviceError(IcbirError):
    """The device that was chosen is not there."""


class ModelError(IcbirError):
    """A network or its weights cannot be used."""


class TrainingError(ModelError):
    """The training data do not allow this training."""


class SaliencyError(IcbirError):
    """A saliency map cannot be computed."""


class UnsupportedLayer(SaliencyError):
    """A layer has no rule in the chosen method; it is refused by name, never passed over."""

    def __init__(self, layer: str, kind: str, method: str):
        super().__init__(f"{method} has no rule for the layer '{layer}' ({kind}); use another method.")


class RetrievalError(IcbirError):
    """A query cannot be answered."""


class IndexMismatch(RetrievalError, ManifestMismatch):
    """The index file does not fit its manifest, the model or the query vector."""


class FilterError(RetrievalError):
    """A filter cannot be read or leaves no case."""


class EvaluationError(IcbirError):
    """An evaluation cannot be run on these data."""


class AnnotationError(IcbirError):
    """What was drawn on a film is no measurement and no annotation."""


class AuditError(IcbirError):
    """What happens cannot be recorded in the audit log, or the log is damaged."""


class AccessRefused(IcbirError):
    """Whoever asks may not do this."""


class ServerBusy(IcbirError):
    """The server does not compute this now; the same question may be answered later."""


class ServerSettingsError(IcbirError):
    """The settings of a server cannot be used."""


class StudyError(IcbirError):
    """A reading study or a rating is not valid."""


class PacsError(IcbirError):
    """The archive (PACS) cannot be asked, or its answer cannot be used."""


class PacsUnreachable(PacsError):
    """The archive does not answer, or stopped in the middle of an answer; the same call may succeed later."""


class PacsRefused(PacsError):
    """The archive does not let this program in."""


class PacsNotFound(PacsError):
    """The archive does not have what was asked for."""


class PacsMismatch(PacsError):
    """What came from the archive is not what was asked for."""


class PacsStopped(PacsError):
    """The reader stopped the transfer."""


class DicomExportError(IcbirError):
    """A result cannot be written as DICOM objects."""


class BurnedInText(IcbirError):
    """A film may not leave as it is, because text is burned into it."""


class UnknownNameError(IcbirError, KeyError):
    """A name is not in the registry; the message lists the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.text = make_printable(f"Unknown {kind} '{name}'; known: {', '.join(sorted(known))}.")
        super().__init__(self.text)

    def __str__(self) -> str:
        return self.text


class BrokenPlugin(UnknownNameError):
    """An installed package offers a name that cannot be used; the message names the package and the reason."""

    def __init__(self, kind: str, name: str, package: str, reason: str):
        self.text = make_printable(
            f"The {kind} '{name}' of the package '{package}' cannot be used ({reason}); update or uninstall that "
            "package."
        )
        IcbirError.__init__(self, self.text)
