"""The clinician's screens: what was read, whether a taper may be planned, the plan, signing it, following it."""

from careplan.web.app.views import blueprint

__all__ = ["blueprint"]
