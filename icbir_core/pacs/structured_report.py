"""The result as numbers that other programs read: a DICOM Structured Report by template TID 1500 (PS3.16)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.sr.coding import Code

from icbir_core import __version__
from icbir_core.pacs import codes
from icbir_core.pacs.object_frame import MANUFACTURER, MODEL, DicomObject, describe_frame, finish_object
from icbir_core.pacs.result import RESEARCH, MapRegion, Measurement, SearchResult, find_map_regions
from icbir_core.types import NOT_SHOWN, Hit

TITLE = f"ICBIR findings and cases. {RESEARCH}"
_COMMENT = Code("121106", "DCM", "Comment")


def make_structured_report(result: SearchResult) -> DicomObject:
    """The report, in a series of its own: of each finding the probability and operating point, the regions of the map
    as spatial coordinates on the query, the search with its nearest cases by case_id, the reader's measurements, and
    the versions of everything that computed them. Nothing in it is verified by a person, and it says so.
    """
    from highdicom import sr
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    writer = _ReportWriter(result)
    observer = sr.ObserverContext(
        sr.CodedConcept("121007", "DCM", "Device"),
        sr.DeviceObserverIdentifyingAttributes(
            uid=result.make_uid("observer"), name="ICBIR", manufacturer_name=MANUFACTURER, model_name=MODEL
        ),
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.CHEST_FILM,
        imaging_measurements=writer.write_groups(),
        title=Code("126000", "DCM", "Imaging Measurement Report"),
    )
    for text in (f"{RESEARCH}. Not a medical device.", *writer.list_comments()):
        report[0].ContentSequence.append(sr.TextContentItem(_COMMENT, text, sr.RelationshipTypeValues.CONTAINS))
    made = sr.ComprehensiveSR(
        evidence=[result.source.dataset],
        content=report[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                codes.SCHEME, name=codes.SCHEME_NAME, version="1", responsible_organization=MANUFACTURER
            )
        ],
        **describe_frame(result, "report", TITLE),
    )
    return finish_object(made, result, "report")


class _ReportWriter:
    """The measurement groups of one report."""

    def __init__(self, result: SearchResult):
        from highdicom import sr

        self._sr: Any = sr
        self._result, source = result, result.source
        self._image = (str(source.dataset.SOPClassUID), source.instance, [1] if source.frames > 1 else None)

    def write_groups(self) -> list[Any]:
        result = self._result
        regions = find_map_regions(result.query, result.style, result.scale)
        groups = [self._write_search()]
        groups += [self._write_finding(name, value) for name, value in self._list_probabilities()]
        groups += [self._write_map(region, number) for number, region in enumerate(regions, start=1)]
        groups += [self._write_searched_region(result.region)] if result.region is not None else []
        groups += [self._write_hit(hit) for hit in result.ranking.hits]
        return groups + [self._write_measured(one, number) for number, one in enumerate(result.measurements, start=1)]

    def list_comments(self) -> list[str]:
        """What no coded item says: the filters, and how the map is drawn."""
        lines = [f"Filters: {self._result.filters}."]
        if self._result.map_title:
            lines.append(f"Map: {self._result.map_title}, shown from {self._result.style.threshold:.2f} of its scale.")
        return lines

    def _list_probabilities(self) -> list[tuple[str, float]]:
        prediction = self._result.ranking.prediction
        found = prediction.probabilities.items() if prediction else ()
        return sorted(((name, float(value)) for name, value in found), key=lambda one: (-one[1], one[0]))

    def _write_search(self) -> Any:
        ranking = self._result.ranking
        numbers = [(codes.ELIGIBLE, float(ranking.eligible))]
        if ranking.base_rate is not None:
            numbers.append((codes.BASE_RATE, ranking.base_rate))
        return self._write_group(
            f"search for {ranking.target}", "search", codes.SEARCH, numbers, category=codes.code_finding(ranking.target)
        )

    def _write_finding(self, name: str, value: float) -> Any:
        prediction = self._result.ranking.prediction
        assert prediction is not None
        numbers = [(codes.PROBABILITY, value)]
        if (point := prediction.operating_points.get(name)) is not None:
            numbers.append((codes.OPERATING_POINT, float(point)))
        return self._write_group(f"finding {name}", f"finding {name}", codes.code_finding(name), numbers)

    def _write_hit(self, hit: Hit) -> Any:
        ranking = self._result.ranking
        numbers = [(codes.RANK, float(hit.rank)), (codes.DISTANCE, float(hit.distance))]
        place = hit.rank - 1
        if place < len(ranking.percentiles) and np.isfinite(ranking.percentiles[place]):
            numbers.append((codes.PERCENTILE, float(ranking.percentiles[place])))
        return self._write_group(hit.case.case_id, f"case {hit.rank}", codes.SIMILAR_CASE, numbers)

    def _write_map(self, region: MapRegion, number: int) -> Any:
        group = self._write_region(f"map region {number}", region.outline, codes.SALIENCY)
        speaks = codes.FOR if region.sign > 0 else codes.AGAINST
        return group(
            measurements=[self._sr.Measurement(codes.SHARE, _shorten(region.share), codes.NO_UNIT)],
            qualitative_evaluations=[self._sr.QualitativeEvaluation(codes.SPEAKS, speaks)],
            finding_category=codes.code_finding(self._result.ranking.target),
        )

    def _write_searched_region(self, box: tuple[float, float, float, float]) -> Any:
        return self._write_region("searched region", outline_box(box), codes.SEARCHED_REGION)()

    def _write_region(self, name: str, outline: np.ndarray, finding: Code) -> Any:
        source = self._sr.SourceImageForRegion(*self._image)
        region = self._sr.ImageRegion(
            self._sr.GraphicTypeValues.POLYLINE, close_outline(outline, self._result.query.pixels.shape), source
        )

        def write(**more: Any) -> Any:
            return self._sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=self._track(name, name),
                referenced_region=region,
                finding_type=finding,
                algorithm_id=self._name_algorithm(),
                **more,
            )

        return write

    def _write_measured(self, one: Measurement, number: int) -> Any:
        name, unit = codes.code_measurement(one.kind, one.unit)
        source = self._sr.SourceImageForRegion(*self._image)
        shape, kinds = self._result.query.pixels.shape, self._sr.GraphicTypeValues
        lines = [np.clip(np.array(line, float), 0.0, shape[::-1]) for line in one.lines]
        if one.kind == "rectangle":
            lines = [close_outline(line, shape) for line in lines]
        coordinates = [
            self._sr.CoordinatesForMeasurement(kinds.ELLIPSE if one.kind == "ellipse" else kinds.POLYLINE, line, source)
            for line in lines
        ]

        def write(name: Code, value: float, unit: Code, derivation: Code | None = None) -> Any:
            return self._sr.Measurement(
                name, _shorten(value), unit, derivation=derivation, referenced_coordinates=coordinates
            )

        measured = [write(name, one.value, unit, codes.MEAN if one.is_region else None)]
        if one.is_region:
            measured.append(write(name, one.deviation, unit, codes.DEVIATION))
            measured.append(write(codes.AREA, one.area, codes.AREA_UNITS[one.area_unit]))
        label = one.label or f"{one.kind} {number}"
        return self._sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=self._track(label, f"measurement {number}"), measurements=measured
        )

    def _write_group(
        self, label: str, name: str, finding: Code, numbers: Sequence[tuple[Code, float]], category: Code | None = None
    ) -> Any:
        return self._sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=self._track(label, name),
            finding_type=finding,
            finding_category=category,
            algorithm_id=self._name_algorithm(),
            source_images=[self._sr.SourceImageForMeasurementGroup(*self._image)],
            measurements=[self._sr.Measurement(code, _shorten(value), codes.NO_UNIT) for code, value in numbers],
        )

    def _track(self, label: str, name: str) -> Any:
        return self._sr.TrackingIdentifier(uid=self._result.make_uid(f"tracking {name}"), identifier=label)

    def _name_algorithm(self) -> Any:
        ranking = self._result.ranking
        parameters = [f"{name}={value}" for name, value in self._result.versions]
        parameters += [f"method={ranking.method}", f"metric={ranking.metric}", f"route={ranking.route}"]
        told = ranking.prediction
        parameters += [f"predicted by={told.source}"] if told and told.source else []
        parameters += [f"{NOT_SHOWN}={', '.join(told.at_chance)}"] if told and told.at_chance else []
        return self._sr.AlgorithmIdentification("ICBIR", __version__, parameters)


def outline_box(box: tuple[float, float, float, float]) -> np.ndarray:
    """The corners float64 (4, 2) of a box (left, top, width, height)."""
    left, top, width, height = box
    right, bottom = left + width, top + height
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def close_outline(outline: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The outline within a film of `shape` (H, W), its first point once more at the end: float64 (N + 1, 2)."""
    inside = np.clip(outline, 0.0, (shape[1], shape[0]))
    return np.vstack([inside, inside[:1]])


def _shorten(value: float) -> float:
    """At most 16 signs, as the decimal strings of DICOM have; to 10 digits."""
    return float(f"{value:.10g}")
