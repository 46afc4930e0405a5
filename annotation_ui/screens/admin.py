from collections.abc import Callable
SCREENS: dict[str, Callable[[], None]] = {}
def signed_in() -> bool: return False
