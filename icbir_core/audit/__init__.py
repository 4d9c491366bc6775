"""The audit log of a workspace: who saw, searched, rated, added, removed, exported and signed in."""

from icbir_core.audit.entries import Action, Entry, Subject
from icbir_core.audit.log import AuditLog, open_audit

__all__ = ["Action", "AuditLog", "Entry", "Subject", "open_audit"]
