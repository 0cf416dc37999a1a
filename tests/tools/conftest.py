import sys
from pathlib import Path

# The tools are scripts: they find their own modules beside them, as python does for a script.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
