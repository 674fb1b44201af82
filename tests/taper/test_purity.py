import subprocess
import sys

PROBE = """
import sys
before = set(sys.modules)
import pkgutil
import careplan.taper
for module in pkgutil.iter_modules(careplan.taper.__path__, "careplan.taper."):
    __import__(module.name)
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(name for name in new if name not in sys.stdlib_module_names))
"""


def test_the_taper_needs_nothing_but_the_standard_library():
    """Importing all of careplan.taper loads no third-party module."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['careplan']"
