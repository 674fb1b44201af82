from decimal import Decimal

import pytest

from careplan.taper.dose import Dose
from careplan.taper.regimen import Administration, Regimen, SourceVersion
from tests.taper.builders import mg, regimen


def sourced(*references):
    sources = tuple(SourceVersion(reference, None) for reference in references)
    return Regimen("testazepam", (Administration(mg(5)),), "structured", sources)


def test_the_daily_dose_is_the_sum_of_the_intakes():
    """2.5 and 5 and 10 mg are 17.5 mg a day, in the unit they are written in."""
    assert regimen("2.5", 5, 10).daily == mg("17.5")
    drops = Regimen("testazepam", (Administration(Dose(Decimal(4), "mL")),) * 2, "text", ())
    assert drops.daily == Dose(Decimal(8), "mL")


@pytest.mark.parametrize("doses", [(), (0,), (0, 0)])
def test_nothing_is_no_regimen(doses):
    """Without a dose above zero there is nothing to taper."""
    with pytest.raises(ValueError, match=r"^a regimen of testazepam needs at least one dose above zero$"):
        regimen(*doses)


def test_an_intake_of_nothing_beside_others_is_taken():
    """0 mg in the morning and 5 mg at night are 5 mg a day."""
    assert regimen(0, 5).daily == mg(5)


@pytest.mark.parametrize(
    ("references", "expression"),
    [
        ((), "MedicationStatement.dosage"),
        (("MedicationStatement/1",), "MedicationStatement.dosage"),
        (("MedicationRequest/1",), "MedicationRequest.dosageInstruction"),
        (("MedicationRequest/a/b", "MedicationStatement/1"), "MedicationRequest.dosageInstruction"),
    ],
)
def test_the_dose_stands_where_the_first_source_keeps_it(references, expression):
    """A statement has `dosage`, an order `dosageInstruction`."""
    assert sourced(*references).expression == expression


@pytest.mark.parametrize(
    ("version", "versioned"), [("3", "MedicationStatement/12/_history/3"), (None, "MedicationStatement/12")]
)
def test_a_source_is_named_with_its_version(version, versioned):
    """Without a version from the server, the reference alone."""
    assert SourceVersion("MedicationStatement/12", version).versioned == versioned
