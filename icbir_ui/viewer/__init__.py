"""The film viewer: one component for all panes of a page."""

from icbir_ui.viewer.component import MapPicture, Pane, Picture, ViewerOptions, prepare_pictures, show_viewer

__all__ = ["MapPicture", "Pane", "Picture", "ViewerOptions", "prepare_pictures", "show_viewer"]
