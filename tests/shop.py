"""The web application of the scenarios: the example's user data, and scripts for Run Command."""

from pathlib import Path

PORT = 8080
USER_DATA_FILE = Path(__file__).resolve().parent.parent / "examples/shop/user-data.sh"
CHANGE = """echo 'version two, changed by hand' > "$ELASTANE_ROOT/opt/shop/page" """
CHANGED = b"version two, changed by hand\n"
LOOK = f"""curl -sf --max-time 5 --retry 20 --retry-connrefused --retry-delay 1 "http://$ELASTANE_LOCAL_IPV4:{PORT}/" """
