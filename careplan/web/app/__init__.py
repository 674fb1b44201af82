"""The clinician's screens: what was read, whether a taper may be planned, the plan, signing it, following it."""

from careplan.web.app import follow as _follow  # noqa: F401  (adds its views to the blueprint)
from careplan.web.app.views import blueprint

__all__ = ["blueprint"]
