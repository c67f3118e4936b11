"""The names of vsandbox under the module name that existing agents import."""
from vsandbox import *  # noqa: F401,F403
from vsandbox import __all__  # noqa: F401
