# Loaded by Python at start-up because otelbot-instrument put this folder on PYTHONPATH.
# It instruments the program that was launched and its worker processes, then leaves no trace of itself: the path is
# taken out of sys.path, and a sitecustomize that this one shadows is run as if this one were not there.
# Whatever Python inherits PYTHONPATH reads this file, so it keeps to what every version can parse.
import os
import sys

_PROGRAM = "OTELBOT_PROGRAM"  # settings.PROGRAM
_LAUNCHED = "OTELBOT_LAUNCHED"  # settings.LAUNCHED
_OTHER = "other"


def _say(sentence):
    if sys.stderr is not None:  # closed by whoever started the program
        sys.stderr.write(sentence + "\n")


def _is_worker():
    # multiprocessing's children by spawn and forkserver; its resource tracker runs none of the program's code.
    line = " ".join(getattr(sys, "orig_argv", ()))
    return "--multiprocessing-fork" in line or "multiprocessing.forkserver" in line


def _wanted():
    launched = os.environ.get(_LAUNCHED)
    if launched in (None, "", "pending", str(os.getpid())):
        return True
    if launched == _OTHER:
        return False
    return _is_worker() or os.environ.get("OTELBOT_INSTRUMENT_CHILDREN", "").lower() in ("true", "1", "yes", "on")


def _run_shadowed(here):
    # Python imports one sitecustomize only: the next one on the path is somebody's, and must run.
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != here]
    rest = os.path.join("opentelemetry", "instrumentation", "auto_instrumentation")
    beside = [path for path in sys.path if os.path.abspath(path or os.curdir).endswith(rest)]
    if beside and _wanted():
        sys.path[:] = [path for path in sys.path if path not in beside]
        _say("otelbot: opentelemetry-instrument is in use as well; it is left out, otelbot does its work")
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        if own is not None:
            sys.modules.setdefault("sitecustomize", own)


def _instrument():
    try:
        from otelbot import startup
        from otelbot.resource import service_name
    except ImportError:
        _say(
            "otelbot: {0} has no otelbot, so the program runs without telemetry; "
            "install it with: {0} -m pip install otelbot".format(sys.executable)
        )
        return
    name = service_name(sys.orig_argv)
    if name == "opentelemetry-instrument":
        # It becomes the program, with its own sitecustomize before this one: have that load otelbot.
        _say("otelbot: opentelemetry-instrument is in use as well; leave it out, otelbot does its work")
        for kind in ("DISTRO", "CONFIGURATOR"):
            os.environ.setdefault("OTEL_PYTHON_" + kind, "otelbot")
        return
    # The children learn whose workers they are; a program that this one becomes by exec is still the one launched.
    os.environ[_LAUNCHED] = str(os.getpid())
    if not _is_worker():
        os.environ[_PROGRAM] = name
    startup.initialize()


_here = os.path.dirname(os.path.abspath(__file__))
try:
    _run_shadowed(_here)
finally:
    if _wanted():
        _instrument()
    else:
        os.environ[_LAUNCHED] = _OTHER  # its workers are not the bot's
