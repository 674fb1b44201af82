"""What a clinician should know before acting: reasons to stop, to ask, or to be careful."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Severity = Literal["error", "warning", "information"]


class IssueCode(StrEnum):
    """Codes of our CodeSystem `taper-issue` (profiles/fhir/CodeSystem-taper-issue.json holds their meaning)."""

    # the dose could not be read
    NO_DOSAGE = "no-dosage"
    NO_DOSE = "no-dose"
    NO_TIMING = "no-timing"
    DOSE_RANGE = "dose-range"
    AS_NEEDED = "as-needed"
    TEXT_NOT_UNDERSTOOD = "text-not-understood"
    TEXT_CONTRADICTS_STRUCTURE = "text-contradicts-structure"
    CODE_CONTRADICTS_REPEAT = "code-contradicts-repeat"
    TIMING_NOT_SUPPORTED = "timing-not-supported"
    NOT_DAILY = "not-daily"
    DOSE_INVALID = "dose-invalid"
    UNIT_NOT_SUPPORTED = "unit-not-supported"
    RATE_DOSE = "rate-dose"
    SEQUENTIAL_DOSAGE = "sequential-dosage"
    FHIR_VERSION_SHAPE = "fhir-version-shape"
    # the medicine could not be read
    NO_MEDICATION = "no-medication"
    DRUG_NOT_RECOGNISED = "drug-not-recognised"
    DRUG_NOT_SUPPORTED = "drug-not-supported"
    DRUG_CONTRADICTORY = "drug-contradictory"
    STRENGTH_UNKNOWN = "strength-unknown"
    STRENGTH_FROM_TEXT = "strength-from-text"
    FORM_NOT_SUPPORTED = "form-not-supported"
    ROUTE_NOT_ORAL = "route-not-oral"
    RESOURCE_INVALID = "resource-invalid"
    # it is not clear whether it is taken now
    STATUS_NOT_CURRENT = "status-not-current"
    PERIOD_ENDED = "period-ended"
    STOPPED_RECENTLY = "stopped-recently"
    ALREADY_TAPERING = "already-tapering"
    SOURCES_DISAGREE = "sources-disagree"
    DUPLICATE_MERGED = "duplicate-merged"
    SEVERAL_PRODUCTS_ADDED = "several-products-added"
    STATEMENT_OLD = "statement-old"
    DURATION_UNKNOWN = "duration-unknown"
    ALLERGY_RECORDED = "allergy-recorded"
    CONFIRMED_BY_CALLER = "confirmed-by-caller"
    # the patient should not get an automatic plan, or needs care
    PATIENT_MISSING = "patient-missing"
    AGE_UNKNOWN = "age-unknown"
    AGE_UNDER_18 = "age-under-18"
    AGE_65_OR_OVER = "age-65-or-over"
    PREGNANCY = "pregnancy"
    WITHDRAWAL_SEIZURE = "withdrawal-seizure"
    WITHDRAWAL_DELIRIUM = "withdrawal-delirium"
    EPILEPSY = "epilepsy"
    ALCOHOL_WITHDRAWAL = "alcohol-withdrawal"
    SEVERAL_BENZODIAZEPINES = "several-benzodiazepines"
    DOSE_ABOVE_40_MG_DIAZEPAM = "dose-above-40-mg-diazepam-equivalent"
    INTRATHECAL_BACLOFEN = "intrathecal-baclofen"
    EGFR_BELOW_30 = "egfr-below-30"
    EGFR_30_TO_59 = "egfr-30-to-59"
    EGFR_MISSING = "egfr-missing"
    BACLOFEN_ABOVE_100_MG = "baclofen-above-100-mg"
    OPIOID_CO_USE = "opioid-co-use"
    OTHER_SEDATIVE = "other-sedative"
    FAILED_TAPER = "failed-taper"
    ALCOHOL_USE = "alcohol-use"
    SUBSTANCE_USE = "substance-use"
    HEPATIC_IMPAIRMENT = "hepatic-impairment"
    PSYCHIATRIC_HISTORY = "psychiatric-history"
    SUICIDAL_THOUGHTS = "suicidal-thoughts"
    PALLIATIVE_CARE = "palliative-care"
    FRAILTY = "frailty"
    RECORD_INCOMPLETE = "record-incomplete"
    OTHER_TAPER_DRUG = "other-taper-drug"
    # the plan
    NOT_EXPRESSIBLE = "not-expressible"
    CUT_ABOVE_CAP = "cut-above-cap"
    CUT_ABOVE_PACE = "cut-above-pace"
    DOSES_PER_DAY_REDUCED = "doses-per-day-reduced"
    PACE_NOT_ALLOWED = "pace-not-allowed"
    PACE_CHOSEN = "pace-chosen"
    STRATEGY_NOT_AVAILABLE = "strategy-not-available"
    ADJUSTMENT_INVALID = "adjustment-invalid"
    EQUIVALENCE_NOT_CONFIRMED = "equivalence-not-confirmed"
    SWITCH_NOT_ADVISED = "switch-not-advised"
    OVERRIDE_NOT_ALLOWED = "override-not-allowed"
    PATIENT_DECEASED = "patient-deceased"
    # the life of a plan that is written
    DATES_PASSED = "dates-passed"
    STEP_OUT_OF_ORDER = "step-out-of-order"
    STEP_NOT_OVER = "step-not-over"
    DOSE_GOES_ON = "dose-goes-on"
    STILL_ORDERED = "still-ordered"
    ORDER_NOT_SIGNED = "order-not-signed"


@dataclass(frozen=True)
class DetectedIssue:
    """One finding, with where it was found and what would settle it.

    *text* is a full sentence for a clinician; *expression* a FHIRPath such as
    `MedicationStatement.dosage[0].timing`; *reference* the resource (`MedicationStatement/12`);
    *seen* what stood there; *settle* what would settle it; *source* the key of a citation in profiles/sources.toml.
    *overridable*: a named clinician may set it aside; *overridden* says who did, and why.
    """

    code: IssueCode
    severity: Severity
    text: str
    expression: str | None = None
    reference: str | None = None
    seen: str | None = None
    settle: str | None = None
    source: str | None = None
    overridable: bool = False
    overridden: str | None = None

    @property
    def blocks(self) -> bool:
        """Whether no plan may be made while this stands."""
        return self.severity == "error"
